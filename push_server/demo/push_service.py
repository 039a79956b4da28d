"""What a push service checks of one push request, by other hands than ours: py_vapid verifies, http_ece decrypts.

The rules are those of RFC 8030 (TTL, Urgency, Topic), RFC 8291 and 8188 (the body) and RFC 8292 (Authorization), as
strictly as the strictest of the public push services reads them.
"""

import base64
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import http_ece
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02

MAX_BODY = 4096  # RFC 8291 §4: what a push service must take, and all that the public ones take
_HEADER = 16 + 4 + 1 + 65  # RFC 8188 §2.1: salt, record size, key id length, key id (the sender's public key)
_SMALLEST = _HEADER + 1 + 16  # an empty text still has its delimiter and its tag
_URGENCIES = ("very-low", "low", "normal", "high")
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}\Z")
_AUTHORIZATION = re.compile(r"vapid\s+(.*)\Z", re.IGNORECASE | re.DOTALL)
_LONGEST_LIFE = timedelta(hours=24)  # RFC 8292 §2


@dataclass(frozen=True, slots=True)
class Rejection:
    """The answer to a push request that is not taken: HTTP status, a word for it, and what is wrong."""

    status: int
    code: str
    detail: str


def check_push(
    headers: Mapping[str, str], body: bytes, *, origin: str, application_server_key: bytes | None, now: datetime
) -> Rejection | None:
    """None when the request is one that every push service takes, else the reason not to.

    `headers` with lower-case names; `origin` of the endpoint, which the token must name as its `aud`;
    `application_server_key` the 65-byte point given at subscription, None for an unrestricted subscription.
    """
    return (
        _check_headers(headers)
        or _check_body(body)
        or _check_authorization(headers.get("authorization"), origin, application_server_key, now)
    )


def decrypt(body: bytes, private_key: ec.EllipticCurvePrivateKey, auth: bytes) -> bytes:
    """The text of an aes128gcm body, by http_ece. Raises http_ece.ECEException or InvalidTag."""
    text: bytes = http_ece.decrypt(  # type: ignore[no-untyped-call]
        body, private_key=private_key, auth_secret=auth, version="aes128gcm"
    )
    return text


def _check_headers(headers: Mapping[str, str]) -> Rejection | None:
    ttl = headers.get("ttl")
    if ttl is None:
        return Rejection(400, "ttl_missing", "RFC 8030 §5.2 asks for a TTL header")
    if not (ttl.isascii() and ttl.isdigit() and len(ttl) <= 10):
        return Rejection(400, "ttl_invalid", f"TTL is whole seconds, not {ttl!r}")
    urgency = headers.get("urgency", "normal")
    if urgency not in _URGENCIES:
        return Rejection(400, "urgency_invalid", f"Urgency is one of {', '.join(_URGENCIES)}, not {urgency!r}")
    topic = headers.get("topic")
    if topic is not None and not _TOPIC.match(topic):
        return Rejection(400, "topic_invalid", "Topic is 1 to 32 characters of base64url")
    if headers.get("content-encoding") != "aes128gcm":
        return Rejection(400, "encoding_invalid", "Content-Encoding must be aes128gcm")
    return None


def _check_body(body: bytes) -> Rejection | None:
    if len(body) > MAX_BODY:
        return Rejection(413, "too_large", f"{len(body)} bytes, and {MAX_BODY} is the limit")
    if len(body) < _SMALLEST:
        return Rejection(400, "body_short", "shorter than the header of RFC 8188 and an empty record")
    record_size, key_length = struct.unpack("!LB", body[16:21])
    if key_length != 65 or body[21] != 4:
        return Rejection(400, "key_invalid", "the key id must be the sender's uncompressed P-256 point (RFC 8291 §4)")
    if record_size < 18 or len(body) - _HEADER > record_size:
        return Rejection(400, "record_size_invalid", "the body must be one record (RFC 8291 §4)")
    return None


def _check_authorization(
    authorization: str | None, origin: str, application_server_key: bytes | None, now: datetime
) -> Rejection | None:
    if authorization is None:
        wanted = application_server_key is not None
        return Rejection(401, "vapid_missing", "this subscription asks for VAPID (RFC 8292 §4.2)") if wanted else None
    scheme = _AUTHORIZATION.match(authorization)
    if scheme is None:
        return Rejection(401, "vapid_scheme", "Authorization must begin with `vapid` (RFC 8292 §3)")
    parameters = dict(part.strip().partition("=")[::2] for part in scheme[1].split(","))
    token, key = parameters.get("t", ""), parameters.get("k", "")
    try:
        if not Vapid02.verify(f"vapid t={token},k={key}"):  # type: ignore[no-untyped-call]
            return Rejection(403, "vapid_signature", "the token is not signed by k")
        point = _bytes(key)
        header, claims = (_json_part(part) for part in token.split(".")[:2])
    except Exception:  # whatever py_vapid trips over in a malformed header, it is the sender's fault
        return Rejection(403, "vapid_malformed", "t must be a JWT and k a P-256 point, both base64url")
    if header.get("alg") != "ES256":
        return Rejection(403, "vapid_algorithm", "the token's alg must be ES256")
    if claims.get("aud") != origin:
        return Rejection(403, "vapid_audience", f"aud is {claims.get('aud')!r}, this push service is {origin}")
    if not isinstance(exp := claims.get("exp"), int) or not 0 < exp - now.timestamp() <= _LONGEST_LIFE.total_seconds():
        return Rejection(403, "vapid_expiry", "exp must lie ahead, and at most 24 hours")
    if not str(claims.get("sub", "")).startswith(("mailto:", "https://")):
        return Rejection(403, "vapid_subject", "sub must be a mailto: or https: address")
    if application_server_key is not None and point != application_server_key:
        return Rejection(403, "vapid_key", "k is not the key that the subscription was made with")
    return None


def _json_part(part: str) -> dict[str, Any]:
    value = json.loads(_bytes(part))
    if not isinstance(value, dict):
        raise ValueError(part)
    return value


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
