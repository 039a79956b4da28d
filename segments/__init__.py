"""Homing rule language."""
