"""webpush"""
