"""What the stand-in push service refuses: one good request, and one fault at a time."""

import base64
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime

import http_ece
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from py_vapid import Vapid02

from push_server.demo.push_service import check_push, decrypt

ORIGIN = "https://push.example"
SERVER, OTHER, BROWSER = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
AUTH = b"0123456789abcdef"


def point(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def encrypt(text: bytes) -> bytes:
    sender = ec.generate_private_key(ec.SECP256R1())
    return http_ece.encrypt(text, private_key=sender, dh=point(BROWSER), auth_secret=AUTH, version="aes128gcm")


def token(key: ec.EllipticCurvePrivateKey = SERVER, **claims: object) -> str:
    good = {"aud": ORIGIN, "exp": int(time.time()) + 3600, "sub": "mailto:shop@example.com"}
    return Vapid02(key, {"no-strict": True}).sign(good | claims)["Authorization"]


def unsigned() -> str:
    header, claims, signature = token().split(" t=")[1].split(",k=")[0].split(".")
    forged = ("B" if signature[0] == "A" else "A") + signature[1:]
    key = base64.urlsafe_b64encode(point(SERVER)).decode().rstrip("=")
    return f"vapid t={header}.{claims}.{forged},k={key}"


def headers(**changes: str | None) -> dict[str, str]:
    good = {"ttl": "60", "urgency": "normal", "content-encoding": "aes128gcm", "authorization": token()}
    merged = good | {name.replace("_", "-"): value for name, value in changes.items()}
    return {name: value for name, value in merged.items() if value is not None}


def check(sent: dict[str, str], body: bytes) -> tuple[int, str] | None:
    found = check_push(sent, body, origin=ORIGIN, application_server_key=point(SERVER), now=datetime.now(UTC))
    return (found.status, found.code) if found else None


def test_a_good_request_passes_and_decrypts() -> None:
    body = encrypt("Új lemezek várják".encode())
    assert check(headers(topic="a_b-9"), body) is None
    assert decrypt(body, BROWSER, AUTH).decode() == "Új lemezek várják"


@pytest.mark.parametrize(
    ("changes", "answer"),
    [
        ({"ttl": None}, (400, "ttl_missing")),
        ({"ttl": "soon"}, (400, "ttl_invalid")),
        ({"ttl": "-1"}, (400, "ttl_invalid")),
        ({"urgency": "urgent"}, (400, "urgency_invalid")),
        ({"topic": "a b"}, (400, "topic_invalid")),
        ({"topic": "x" * 33}, (400, "topic_invalid")),
        ({"content_encoding": "aesgcm"}, (400, "encoding_invalid")),
        ({"authorization": None}, (401, "vapid_missing")),
        ({"authorization": "Bearer x"}, (401, "vapid_scheme")),
        ({"authorization": "vapid t=a.b.c,k=AAAA"}, (403, "vapid_malformed")),
        ({"authorization": unsigned()}, (403, "vapid_signature")),
        ({"authorization": token(aud="https://other.example")}, (403, "vapid_audience")),
        ({"authorization": token(exp=int(time.time()) - 1)}, (403, "vapid_expiry")),
        ({"authorization": token(exp=int(time.time()) + 90_000)}, (403, "vapid_expiry")),
        ({"authorization": token(sub="shop@example.com")}, (403, "vapid_subject")),
        ({"authorization": token(OTHER)}, (403, "vapid_key")),
    ],
)
def test_a_fault_in_the_headers_is_named(changes: dict[str, str | None], answer: tuple[int, str]) -> None:
    assert check(headers(**changes), encrypt(b"text")) == answer


@pytest.mark.parametrize(
    ("change", "answer"),
    [
        (lambda body: body + bytes(4096), (413, "too_large")),
        (lambda body: body[:80], (400, "body_short")),
        (lambda body: body[:20] + b"\x40" + body[21:], (400, "key_invalid")),
        (lambda body: body[:16] + struct.pack("!L", 17) + body[20:], (400, "record_size_invalid")),
    ],
)
def test_a_fault_in_the_body_is_named(change: Callable[[bytes], bytes], answer: tuple[int, str]) -> None:
    assert check(headers(), change(encrypt(b"some text"))) == answer
