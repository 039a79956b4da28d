"""Outside ids: UUIDv7 (RFC 9562 §5.7), so that they sort by time."""

import os
import time
from uuid import UUID

from push_server.errors import NotFound


def uuid7() -> UUID:
    """A fresh UUIDv7: 48 bits of Unix milliseconds, then random bits."""
    millis = time.time_ns() // 1_000_000
    value = (millis << 80) | int.from_bytes(os.urandom(10), "big")
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return UUID(int=value)


def parse_id(text: str, what: str) -> UUID:
    """The id in a path; 404 when it cannot be one, since then no such object exists."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound(f"There is no {what} with this id.", code=f"no_such_{what}") from None
