"""VAPID (RFC 8292): key pairs and the signed token, one per origin and key, cached until it nears its end."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from push_server import clock

LIFETIME: Final = 12 * 3600
"""Seconds. RFC 8292 allows 24 h; half of it leaves room for a push service whose clock is off."""
RENEW_BEFORE: Final = 3600
"""Seconds before its end at which a token is signed anew."""
MAX_CACHED: Final = 1024
"""Tokens kept: key pairs × push services × contacts."""

_ES256 = ec.ECDSA(SHA256())


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A P-256 key pair: 65-byte uncompressed point, 32-byte scalar."""

    public_key: bytes
    private_key: bytes = field(repr=False)

    @classmethod
    def generate(cls) -> "KeyPair":
        """A fresh pair."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return cls(public, key.private_numbers().private_value.to_bytes(32, "big"))


_cache: dict[tuple[bytes, str, str], tuple[int, str]] = {}
_lock = Lock()


def authorization(pair: KeyPair, origin: str, contact: str) -> str:
    """The `Authorization` header's value, `vapid t=<JWT>,k=<key>` (RFC 8292 §3).

    `origin`: the push service's, as `guard.check_endpoint` returns it; `contact`: a mailto: or https: URL under which
    the push service can reach the operator. Signing costs as much as encrypting, so a token is used again until an
    hour before its end.
    """
    now = int(clock.now().timestamp())
    wanted = (pair.public_key, origin, contact)  # hashed far sooner than the pair
    cached = _cache.get(wanted)
    # A token from the future (the clock was set back) might name an end beyond the 24 h that services accept.
    if cached and RENEW_BEFORE < cached[0] - now <= LIFETIME:
        return cached[1]
    value = f"vapid t={sign(pair, origin, contact, now + LIFETIME)},k={_base64url(pair.public_key)}"
    with _lock:
        _cache.pop(wanted, None)
        while len(_cache) >= MAX_CACHED:
            del _cache[next(iter(_cache))]
        _cache[wanted] = (now + LIFETIME, value)
    return value


def sign(pair: KeyPair, audience: str, contact: str, expires: int) -> str:
    """A JWT for one push service, signed with ES256 (RFC 7515, 7518 §3.4). `expires`: seconds since 1970."""
    claims: dict[str, str | int] = {"aud": audience, "exp": expires, "sub": contact}
    signed = f"{_segment({'typ': 'JWT', 'alg': 'ES256'})}.{_segment(claims)}"
    key = ec.derive_private_key(int.from_bytes(pair.private_key, "big"), ec.SECP256R1())
    r, s = decode_dss_signature(key.sign(signed.encode(), _ES256))
    return f"{signed}.{_base64url(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"


def _segment(document: Mapping[str, str | int]) -> str:
    return _base64url(json.dumps(document, separators=(",", ":")).encode())


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
