"""Our sender as deliveries use it, in one process, or in a worker's as RQ jobs of the product's chunks."""

import multiprocessing
import re
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Self

from rq import Worker

from bench.processes import cpu_us
from bench.sink import Subscriber
from push_server import queue, worker
from push_server.garbage import collect_rarely
from push_server.settings import settings
from push_server.webpush import guard, vapid
from push_server.webpush.client import PushClient
from push_server.webpush.encryption import encrypt
from push_server.webpush.message import PushMessage
from push_server.webpush.response import Outcome, judge

CONTACT: Final = "mailto:operator@shop.example"
_QUEUE: Final = "bench"
_LOOK_EVERY: Final = 0.02
_PATIENCE: Final = 60.0
"""Seconds that the worker may take to start, and for the jobs of a turn."""


@dataclass
class Ours:
    """Sends message number n to browser n, beginning again after the last. Its connections outlive a call."""

    browsers: list[Subscriber]
    endpoints: list[str]
    texts: list[bytes]
    pair: vapid.KeyPair
    certificate: str

    @cached_property
    def client(self) -> PushClient:
        """Of the process that sends: it is made with the first message."""
        return PushClient(ca_file=self.certificate)

    def send(self, refs: Iterable[int]) -> int:
        """The address guard, `encrypt`, the cached token, `PushClient`; how many there were, all of them accepted."""
        sent = 0

        def chunk() -> Iterator[PushMessage]:
            nonlocal sent
            for ref in refs:
                sent += 1
                number = ref % len(self.browsers)
                browser, endpoint = self.browsers[number], self.endpoints[number]
                body = encrypt(self.texts[number], browser.p256dh, browser.auth)
                token = vapid.authorization(self.pair, guard.check_endpoint(endpoint), CONTACT)
                yield PushMessage(ref, endpoint, body, token, ttl=3600)

        accepted = {answer.ref for answer in self.client.send(chunk()) if judge(answer).outcome is Outcome.ACCEPTED}
        assert len(accepted) == sent, f"{sent - len(accepted)} of {sent} messages were not accepted"
        return sent


class ThroughRQ:
    """`with ThroughRQ(ours) as jobs`: `jobs.send(first, count)` in a worker process, and `jobs.cpu()` in seconds.

    The worker is the product's but for whose jobs it takes; a job carries as many numbers as one of the product's ids.
    """

    def __init__(self, ours: Ours) -> None:
        self._process = multiprocessing.get_context("spawn").Process(target=_work, args=(ours,), daemon=True)
        self._enqueued = 0
        self._enqueueing = 0.0

    def __enter__(self) -> Self:
        self._process.start()
        self._await(0)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join(10)

    def send(self, first: int, count: int) -> None:
        """Enqueue the chunks of these messages, and return once RQ has their jobs down as done."""
        began, size = time.process_time(), settings().chunk_size
        refs = range(first, first + count)
        for at in range(0, count, size):
            queue.push(_QUEUE, f"{__name__}.send", {"refs": list(refs[at : at + size])})
            self._enqueued += 1
        self._enqueueing += time.process_time() - began
        self._await(self._enqueued)

    def cpu(self) -> float:
        """CPU seconds so far of the worker, and of enqueueing, which a campaign's worker does itself."""
        return cpu_us(self._process.pid or 0) / 1e6 + self._enqueueing

    @property
    def done(self) -> int:
        """Jobs that RQ's worker has finished without a fault."""
        return sum(each.successful_job_count for each in self._workers())

    def _await(self, jobs: int) -> None:
        end = time.monotonic() + _PATIENCE
        while not self._workers() or self.done < jobs:
            if any(each.failed_job_count for each in self._workers()) or time.monotonic() > end:
                raise RuntimeError(f"{jobs - self.done} jobs of the benchmark failed or were not done in time")
            time.sleep(_LOOK_EVERY)

    def _workers(self) -> list[Worker]:
        return list(Worker.all(queue=queue.rq_queue(_QUEUE)))


class _Worker(worker.LongLived):
    runs = re.compile(re.escape(f"{__name__}.send"))


_ours: list[Ours] = []
"""In the worker's process: what its jobs send."""


def send(refs: list[int]) -> None:
    """The job."""
    _ours[0].send(refs)


def _work(ours: Ours) -> None:
    _ours.append(ours)
    collect_rarely()
    worker.run((_QUEUE,), _Worker)
