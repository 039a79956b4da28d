"""VAPID (RFC 8292): key pairs and the signed token, one per origin and key, cached until it nears its end."""

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A P-256 key pair: 65-byte uncompressed point, 32-byte scalar."""

    public_key: bytes
    private_key: bytes

    @classmethod
    def generate(cls) -> "KeyPair":
        """A fresh pair."""
        key = ec.generate_private_key(ec.SECP256R1())
        public = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return cls(public, key.private_numbers().private_value.to_bytes(32, "big"))
