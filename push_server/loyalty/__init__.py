"""Loyalty: points lots with an expiry each, redemptions that draw from them, tiers."""
