"""Simulated browsers: each with real P-256 keys, one subscription, and a screen that shows a delivery once."""

import json
import os
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from http_ece import ECEException

from push_server.demo.push_service import decrypt
from push_server.security import b64url, unb64url


@dataclass
class Browser:
    """One browser: `token` is the capability in its endpoint, `secret` the private key's scalar, base64url."""

    token: str
    secret: str
    auth: str
    application_server_key: str
    shown: set[str] = field(default_factory=set, compare=False)

    @classmethod
    def create(cls, token: str, application_server_key: str) -> "Browser":
        """A browser that subscribes with the shop's VAPID key."""
        secret = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value.to_bytes(32, "big")
        return cls(token, b64url(secret), b64url(os.urandom(16)), application_server_key)

    @classmethod
    def from_dict(cls, stored: dict[str, str]) -> "Browser":
        """The inverse of `as_dict`."""
        return cls(stored["token"], stored["secret"], stored["auth"], stored["application_server_key"])

    def as_dict(self) -> dict[str, str]:
        """What the journal keeps."""
        return {
            "token": self.token,
            "secret": self.secret,
            "auth": self.auth,
            "application_server_key": self.application_server_key,
        }

    @cached_property
    def private_key(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(int.from_bytes(unb64url(self.secret), "big"), ec.SECP256R1())

    def subscription(self, origin: str) -> dict[str, Any]:
        """PushSubscription.toJSON()."""
        point = self.private_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        keys = {"p256dh": b64url(point), "auth": self.auth}
        return {"endpoint": f"{origin}/push/{self.token}", "expirationTime": None, "keys": keys}

    def open(self, body: bytes) -> dict[str, Any] | None:
        """The decrypted payload; None when it cannot be read, and a browser would show nothing."""
        try:
            payload = json.loads(decrypt(body, self.private_key, unb64url(self.auth)))
            delivery: object = payload["notification"]["data"]["homing"]["delivery"]
        except (ECEException, InvalidTag, ValueError, KeyError, TypeError):
            return None
        return payload if isinstance(delivery, str) else None


def delivery_of(payload: dict[str, Any]) -> str:
    """The token that is the same on every attempt of one delivery."""
    delivery: str = payload["notification"]["data"]["homing"]["delivery"]
    return delivery
