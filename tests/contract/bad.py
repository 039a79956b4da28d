"""A bad request and the answer it should get."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bad:
    """A request and its answer. `key`: 'secret', 'public', the header's own text, or None for no key at all."""

    method: str
    path: str
    status: int
    code: str
    json: Any = None
    raw: bytes | None = None
    key: str | None = "secret"
    headers: dict[str, str] = field(default_factory=dict)
    fault: str | None = None
