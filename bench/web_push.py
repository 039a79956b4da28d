"""The baseline of npm web-push: bench/web_push.mjs in a process of its own, which tells its CPU time."""

import json
import subprocess
from pathlib import Path

from bench.sink import Sink, Subscriber, base64url
from push_server.webpush.vapid import KeyPair


class WebPush:
    """`with WebPush(node, …) as npm`: `npm.send(first, count)`, and `npm.cpu` in seconds."""

    def __init__(
        self,
        node: str,
        scratch: Path,
        sink: Sink,
        browsers: list[Subscriber],
        texts: list[str],
        pair: KeyPair,
        contact: str,
    ) -> None:
        keys = {"publicKey": base64url(pair.public_key), "privateKey": base64url(pair.private_key)}
        listing = scratch / "web_push.json"
        listing.write_text(
            json.dumps(
                {
                    "certificate": str(sink.certificate),
                    "subscriptions": [browser.info(sink.http1) for browser in browsers],
                    "texts": texts,
                    "vapidDetails": {"subject": contact, **keys},
                }
            )
        )
        argv = [node, str(Path(__file__).with_name("web_push.mjs")), str(listing)]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.cpu = 0.0
        self._note()

    def __enter__(self) -> "WebPush":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(10)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def send(self, first: int, count: int) -> None:
        """Send messages number `first` to `first + count - 1`; RuntimeError when one is not accepted."""
        assert self._process.stdin
        self._process.stdin.write(f"{first} {count}\n")
        self._process.stdin.flush()
        self._note()

    def _note(self) -> None:
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("npm web-push ended; Node says why above")
        self.cpu = int(line) / 1e6
