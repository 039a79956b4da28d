"""A push service over HTTP/2 whose faults come by chance or by script; what it took is in `arrived`, decrypted."""

from collections import Counter, defaultdict, deque
from pathlib import Path
from random import Random

from tests.doubles.arrivals import Arrivals
from tests.doubles.http2_sink import Http2Sink, Received

NOT_TAKEN = ("/busy/1", "/status/503", "/status/500", "/reset", "/cancel", "/refuse")
TAKEN = ("/cut", "/torn", "/half", "/broken", "/goaway", "/drain", "/reset", "/cancel")
"""Faults that come before a message was taken, and after: then it is sent again though it has arrived."""


class Http2Push(Http2Sink, Arrivals):
    """`storm`: the share of requests that meet a fault. `script[token]`: the behaviours to come, as the sink has them.

    A behaviour of the script is met by a message that was taken, if it is one of `TAKEN` or /hang.
    """

    def __init__(self, directory: Path, seed: int = 0) -> None:
        Http2Sink.__init__(self, directory)
        Arrivals.__init__(self)
        self.script: dict[str, deque[str]] = defaultdict(deque)
        self.storm = 0.0
        self.hangs = 0  # still to come in this storm: each holds its chunk for the whole timeout
        self.met: Counter[str] = Counter()
        self._random = Random(seed)

    def behaviour(self, received: Received) -> str:
        token = received.path.rpartition("/")[2]
        message = self.read(self.origin, token, received.headers, received.body)
        if message is None:
            return "/status/400"
        fault, taken = self._fault(token)
        self.met["/" + fault.split("/")[1]] += 1
        if taken:
            self.arrived.append(message)
        return fault

    def _fault(self, token: str) -> tuple[str, bool]:
        if self.script[token]:
            fault = self.script[token].popleft()
            return fault, fault in TAKEN or fault == "/hang"
        if self._random.random() >= self.storm:
            return "/ok", True
        if self.hangs and self._random.random() < 0.1:
            self.hangs -= 1
            return "/hang", self._random.random() < 0.5
        taken = self._random.random() < 0.5
        fault = self._random.choice(TAKEN if taken else NOT_TAKEN)
        return f"{fault}/{self.met.total()}" if fault == "/refuse" else fault, taken  # each path is refused but once
