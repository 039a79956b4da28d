"""Homing's application server: web push and segmentation for online shops."""

__version__ = "0.1.0"
