"""Secrets: encryption at rest, key hashing, signed tokens. Nothing here knows a table.

At-rest format: version byte 1, 12-byte nonce, AES-256-GCM ciphertext with its tag. The key of each purpose is
derived from HOMING_SECRET_KEY by HKDF-SHA256, so that one purpose's ciphertext cannot be replayed as another's.
"""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from push_server.errors import StartupError
from push_server.settings import settings

_VERSION = b"\x01"
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


def b64url(data: bytes) -> str:
    """Base64url without padding."""
    return binascii.b2a_base64(data, newline=False).translate(_URL_SAFE, b"=").decode()


def unb64url(text: str) -> bytes:
    """The inverse of b64url; padding and the standard alphabet are taken too. ValueError on anything else."""
    raw = text.rstrip("=").replace("+", "-").replace("/", "_").encode("ascii", "strict")
    return base64.b64decode(raw + b"=" * (-len(raw) % 4), altchars=b"-_", validate=True)


@lru_cache(maxsize=64)
def _derive(secret: bytes, purpose: str) -> bytes:
    return HKDF(SHA256(), 32, salt=b"homing", info=purpose.encode()).derive(secret)


@lru_cache(maxsize=64)
def _cipher(secret: bytes, purpose: str) -> AESGCM:
    return AESGCM(_derive(secret, purpose))


def seal(plain: bytes, purpose: str) -> bytes:
    """Encrypt `plain` for storage; `purpose` names the column and is needed to open it."""
    nonce = os.urandom(12)
    return _VERSION + nonce + _cipher(settings().require_secret_key(), purpose).encrypt(nonce, plain, None)


def unseal(sealed: bytes, purpose: str) -> bytes:
    """Decrypt what `seal` made. StartupError when HOMING_SECRET_KEY is not the one it was sealed under."""
    try:
        return _cipher(settings().require_secret_key(), purpose).decrypt(sealed[1:13], sealed[13:], None)
    except InvalidTag:
        raise StartupError(
            "A stored key cannot be decrypted: HOMING_SECRET_KEY is not the one it was stored under. "
            "Put the former key back.",
            code="wrong_secret_key",
        ) from None


def sign(data: bytes, purpose: str) -> bytes:
    """A 16-byte truncated HMAC-SHA256 of `data` under the purpose's key."""
    inner, outer = (half.copy() for half in _halves(settings().require_secret_key(), purpose))
    inner.update(data)
    outer.update(inner.digest())
    return outer.digest()[:16]


@lru_cache(maxsize=64)
def _halves(secret: bytes, purpose: str) -> "tuple[hashlib._Hash, hashlib._Hash]":
    """HMAC's two hashes (RFC 2104 §2) once they have read the key: every message is signed twice, in half the time."""
    key = _derive(secret, purpose).ljust(hashlib.sha256().block_size, b"\0")
    inner, outer = (hashlib.sha256(bytes(byte ^ pad for byte in key)) for pad in (0x36, 0x5C))
    return inner, outer


def new_key(prefix: str) -> str:
    """A fresh API key such as `sk_…` with 192 random bits."""
    return prefix + secrets.token_urlsafe(24)


def key_hash(key: str) -> bytes:
    """What is stored of an API key: SHA-256 (the keys are random, so no slow hash is needed)."""
    return hashlib.sha256(key.encode()).digest()


def user_hash(identity_secret: bytes, user_id: str) -> str:
    """The hex HMAC-SHA256 by which a shop's server vouches for a user id."""
    return hmac.new(identity_secret, user_id.encode(), hashlib.sha256).hexdigest()


def same(left: str, right: str) -> bool:
    """Constant-time comparison of two texts."""
    return hmac.compare_digest(left.encode(), right.encode())
