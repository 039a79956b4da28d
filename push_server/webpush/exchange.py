"""One message under way, and how its answer is put together."""

from push_server import clock
from push_server.webpush.message import PushMessage, PushResponse
from push_server.webpush.response import parse_retry_after

MAX_BODY = 4096
"""Bytes read of a response's body; a longer one is cut off there, and its status counts all the same."""
MAX_TEXT = 2048


class Exchange:
    """A message and what has come back so far. `deadline`: by `time.monotonic`; `tries`: how often it was posted."""

    __slots__ = (
        "body",
        "credit",
        "deadline",
        "fields",
        "message",
        "offset",
        "origin",
        "retry_after",
        "status",
        "stream",
        "tries",
    )

    def __init__(self, message: PushMessage, origin: str, fields: tuple[tuple[str, str], ...], deadline: float) -> None:
        self.message = message
        self.origin = origin
        self.fields = fields
        self.deadline = deadline
        self.tries = 0
        self.stream = 0  # its number on the connection it was posted to
        self.status: int | None = None
        self.retry_after: bytes | None = None
        self.body = b""
        self.offset = 0  # of the message's body: how much was posted, where flow control allows only a part at once
        self.credit = 0  # bytes that the service takes on this stream

    def response(self, error: str | None = None) -> PushResponse:
        """What came back. A status that came is the answer, even when the connection broke or stalled behind it."""
        status = self.status
        if status is None:
            return PushResponse(self.message.ref, None, error=error or "no answer", posted=self.tries > 0)
        if status < 300:
            return PushResponse(self.message.ref, status)
        wanted = self.retry_after
        return PushResponse(
            self.message.ref,
            status,
            retry_after=None if wanted is None else retry_after(wanted),
            error=self.body[:MAX_TEXT].decode("ascii", "replace"),
        )


def retry_after(value: bytes) -> float | None:
    """Seconds that a `Retry-After` header asks for."""
    return parse_retry_after(value[:MAX_TEXT].strip().decode("ascii", "replace"), clock.now())
