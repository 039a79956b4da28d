"""Message encryption for web push (RFC 8291) in the aes128gcm content coding (RFC 8188), one record a message.

A hot path of its own, since it bounds how fast we can send: HKDF is unrolled to its HMACs, the header is prebuilt,
a browser's parsed key is kept. docs/decisions/0003-own-aes128gcm.md says how it is checked by other hands.
"""

import os
import struct
from functools import lru_cache
from hmac import digest
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RECORD_SIZE: Final = 4096
"""Bytes a push service must take as a body (RFC 8030 §7.2); also the record size that the header names."""

MAX_PLAINTEXT: Final = 3993
"""Bytes: 4096 less the header (86), the delimiter (1) and the tag (16)."""

_CURVE = ec.SECP256R1()
_ECDH = ec.ECDH()
_AFTER_SALT = struct.pack(">LB", RECORD_SIZE, 65)


def encrypt(
    plaintext: bytes,
    p256dh: bytes,
    auth: bytes,
    *,
    ephemeral: ec.EllipticCurvePrivateKey | None = None,
    salt: bytes | None = None,
) -> bytes:
    """The body of a push message: header, one record (RFC 8291 §3 and §4).

    `p256dh`: the browser's public key, 65 bytes uncompressed; `auth`: its 16-byte secret. `ephemeral` and `salt` are
    drawn anew for every message and only ever given by tests with known answers.
    Raises ValueError: a plaintext over MAX_PLAINTEXT, or a key that is no point of the curve.
    """
    if len(plaintext) > MAX_PLAINTEXT:
        raise ValueError(f"{len(plaintext)} bytes are more than the {MAX_PLAINTEXT} that fit into a push message")
    private = ephemeral or ec.generate_private_key(_CURVE)
    public = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    salt = salt or os.urandom(16)
    shared = private.exchange(_ECDH, _browser_key(p256dh))
    key_material = digest(digest(auth, shared, "sha256"), b"WebPush: info\0" + p256dh + public + b"\x01", "sha256")
    return salt + _AFTER_SALT + public + seal_record(plaintext, key_material, salt)


def seal_record(plaintext: bytes, key_material: bytes, salt: bytes) -> bytes:
    """The only, hence last record of an aes128gcm body (RFC 8188 §2): delimiter 2, no padding, counter 0."""
    pseudo_random = digest(salt, key_material, "sha256")
    key = digest(pseudo_random, b"Content-Encoding: aes128gcm\0\x01", "sha256")[:16]
    nonce = digest(pseudo_random, b"Content-Encoding: nonce\0\x01", "sha256")[:12]
    return AESGCM(key).encrypt(nonce, plaintext + b"\x02", None)


def check_public_key(point: bytes) -> None:
    """Raises ValueError unless `point` is an uncompressed point of P-256 (65 bytes, 0x04 first, on the curve)."""
    if len(point) != 65 or point[0] != 4:
        raise ValueError("not an uncompressed P-256 point of 65 bytes")
    _browser_key(point)


@lru_cache(maxsize=4096)  # about 2 kB each; spares a fifth of the work for browsers that hear from us often
def _browser_key(point: bytes) -> ec.EllipticCurvePublicKey:
    return ec.EllipticCurvePublicKey.from_encoded_point(_CURVE, point)
