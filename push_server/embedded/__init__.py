"""Servers that come in wheels: PostgreSQL and Valkey, one small module each."""
