"""The push service that the sender is measured against: bench/sink.mjs on Node, in a process of its own."""

import json
import subprocess
from base64 import urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import NameOID

from bench.node import node
from push_server.errors import StartupError

DECRYPT_EVERY = 16
"""One body in so many is decrypted; all of them would make the sink the slower side."""


class Subscriber:
    """A browser: its keys as bytes, as the sender stores them, and as JSON, as pywebpush takes them."""

    def __init__(self, number: int) -> None:
        self.number = number
        key = ec.generate_private_key(ec.SECP256R1())
        self.secret = key.private_numbers().private_value.to_bytes(32, "big")
        self.p256dh = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        self.auth = number.to_bytes(16, "big")

    def info(self, origin: str) -> dict[str, Any]:
        """`PushSubscription.toJSON()`."""
        keys = {"p256dh": base64url(self.p256dh), "auth": base64url(self.auth)}
        return {"endpoint": f"{origin}/push/{self.number}", "keys": keys}


class Sink:
    """`with Sink(directory, subscribers, public_key) as sink`: `sink.http2` and `sink.http1` are its origins.

    `public_keys`: the VAPID keys whose tokens it accepts.
    """

    def __init__(self, directory: Path, subscribers: list[Subscriber], public_keys: list[bytes]) -> None:
        self.certificate = _certificate(directory)
        listing = directory / "subscribers.json"
        secrets = [[base64url(each.secret), base64url(each.auth)] for each in subscribers]
        listing.write_text(json.dumps({"keys": [base64url(key) for key in public_keys], "subscribers": secrets}))
        script = Path(__file__).with_name("sink.mjs")
        argv = [node(), str(script), str(self.certificate), str(listing), str(DECRYPT_EVERY)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        origins = self._line()
        self.http2: str = origins["second"]
        self.http1: str = origins["first"]

    def __enter__(self) -> "Sink":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def counts(self) -> dict[str, Any]:
        """What came so far: received, decrypted, rejected, connections, and the first faults."""
        assert self._process.stdin
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._line()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise StartupError("The sink of the benchmark ended; Node says why above.", code="bench_sink")
        document: dict[str, Any] = json.loads(line)
        return document


def base64url(data: bytes) -> str:
    """Without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _certificate(directory: Path) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "sink.pem"
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    path.write_bytes(secret + made.public_bytes(Encoding.PEM))
    return path
