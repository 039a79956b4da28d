"""Web push on the wire (RFC 8030, 8188, 8291, 8292): knows no database and no site."""
