"""Every error that a caller can meet, each with a stable code and an HTTP status.

HomingError
├── BadRequest 400          the request cannot be read
├── Unauthorized 401        no key, or one we do not know
├── Forbidden 403           a known key that may not do this
├── NotFound 404            no such object of this site
├── Conflict 409            it contradicts what is already there
├── TooLarge 413            over a documented limit
├── Invalid 422             readable, but against the contract; names the JSON path of each fault
├── TooManyRequests 429     slow down; carries Retry-After
├── Unavailable 503         a part of ours is down; carries Retry-After
└── StartupError            a process cannot start; the text says what to do next
"""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with a request: where (JSON path from the body's root), what, and how to mend it."""

    path: str
    message: str
    code: str = "invalid"

    def as_dict(self) -> dict[str, str]:
        return {"path": self.path, "message": self.message, "code": self.code}


class HomingError(Exception):
    """Base of all errors that reach a person. `code` is stable; `detail` says what to do next."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        faults: list[Fault] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.faults = faults or []
        self.retry_after = retry_after

    def problem(self) -> dict[str, object]:
        """The RFC 9457 problem details document."""
        body: dict[str, object] = {
            "type": f"urn:homing:error:{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
        }
        if self.faults:
            body["errors"] = [fault.as_dict() for fault in self.faults]
        return body


class BadRequest(HomingError):
    status, title, default_code = 400, "Bad request", "bad_request"


class Unauthorized(HomingError):
    status, title, default_code = 401, "Unauthorized", "unauthorized"


class Forbidden(HomingError):
    status, title, default_code = 403, "Forbidden", "forbidden"


class NotFound(HomingError):
    status, title, default_code = 404, "Not found", "not_found"


class Conflict(HomingError):
    status, title, default_code = 409, "Conflict", "conflict"


class TooLarge(HomingError):
    status, title, default_code = 413, "Too large", "too_large"


class Invalid(HomingError):
    status, title, default_code = 422, "Invalid request", "invalid"


class TooManyRequests(HomingError):
    status, title, default_code = 429, "Too many requests", "too_many_requests"


class Unavailable(HomingError):
    status, title, default_code = 503, "Temporarily unavailable", "unavailable"


class StartupError(HomingError):
    """A process cannot start or go on; printed to the operator without a traceback."""

    title, default_code = "Cannot start", "cannot_start"
