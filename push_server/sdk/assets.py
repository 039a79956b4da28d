"""The built SDK files, read once a process, with a compressed copy and a strong ETag of each representation."""

import gzip
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from push_server.errors import Unavailable

PLACES = (
    Path(__file__).parent / "dist",  # in the wheel
    Path(__file__).parents[2] / "sdk_js" / "dist",  # in a checkout
)


@dataclass(frozen=True, slots=True)
class Representation:
    """The bytes of a file under one content coding; `etag` with its quotes (RFC 9110 §8.8.3)."""

    body: bytes
    etag: str


@dataclass(frozen=True, slots=True)
class Asset:
    """A file in both codings that we serve."""

    plain: Representation
    gzip: Representation


@lru_cache
def asset(name: str) -> Asset:
    """`sdk.js` or `sw.js`; 503 while they are not built."""
    for place in PLACES:
        try:
            body = (place / name).read_bytes()
        except FileNotFoundError:
            continue
        digest = hashlib.sha256(body).hexdigest()[:32]
        packed = gzip.compress(body, 9, mtime=0)
        return Asset(Representation(body, f'"{digest}"'), Representation(packed, f'"{digest}-gzip"'))
    raise Unavailable(f"{name} is not built. Run `make sdk`, or install the wheel.", code="sdk_not_built")


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header takes gzip (RFC 9110 §12.5.3): named, or by `*`, and not with q=0."""
    wanted: dict[str, bool] = {}
    for part in accept_encoding.split(","):
        coding, _, parameters = part.partition(";")
        quality = parameters.strip().lower().removeprefix("q=").strip()
        wanted[coding.strip().lower()] = not quality or quality.strip("0.") != ""
    return wanted.get("gzip", wanted.get("*", False))


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether a caller already has what `etag` names (RFC 9110 §13.1.2: the weak comparison)."""
    if if_none_match is None:
        return False
    given = {tag.strip().removeprefix("W/") for tag in if_none_match.split(",")}
    return "*" in given or etag in given
