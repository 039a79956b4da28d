"""Opening a TCP connection to one of a host's addresses: one after the other, a quarter of a second apart, the first
that answers wins (RFC 8305), so that an address that leads nowhere costs little.
"""

import errno
import os
import selectors
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from push_server.webpush import guard
from push_server.webpush.resolver import Address, Resolver

NEXT_ADDRESS: Final = 0.25
"""Seconds until the next address is tried beside the one that has not answered."""


class Dial:
    """One attempt to reach a host. `connected` gets the socket, `failed` why there is none; one of them, once."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        *,
        public_only: bool,
        connected: Callable[[socket.socket], None],
        failed: Callable[[str], None],
    ) -> None:
        self._selector = selector
        self._public_only = public_only
        self._connected = connected
        self._failed = failed
        self._addresses: deque[Address] = deque()
        self._trying: list[socket.socket] = []
        self._error = "the name has no address"
        self._next = float("inf")
        self._closed = False

    def start(self, resolver: Resolver, host: str, port: int) -> None:
        """Look the name up and go on from there."""
        resolver.ask(host, port, self._resolved)

    def tick(self, now: float) -> None:
        """Try another address if the last one has had its time."""
        if self._addresses and now >= self._next and not self._closed:
            self._next = now + NEXT_ADDRESS
            self._try_next()

    def close(self) -> None:
        """Give up."""
        self._closed = True
        for each in self._trying:
            self._selector.unregister(each)
            each.close()
        self._trying.clear()

    def _resolved(self, addresses: list[Address], error: str | None) -> None:
        if self._closed:
            return
        self._error = error or self._error
        for address in addresses:
            if self._public_only and not guard.is_public_address(address[1][0]):
                self._error = f"{address[1][0]} is no public address"
            else:
                self._addresses.append(address)
        self._next = 0.0
        self._try_next()

    def _try_next(self) -> None:
        while self._addresses:
            family, where = self._addresses.popleft()
            try:
                attempt = socket.socket(family, socket.SOCK_STREAM)
            except OSError as error:
                self._error = str(error)
                continue
            attempt.setblocking(False)
            code = attempt.connect_ex(where)
            if code in (0, errno.EINPROGRESS):
                self._trying.append(attempt)
                self._selector.register(attempt, selectors.EVENT_WRITE, partial(self._answered, attempt))
                return
            attempt.close()
            self._error = os.strerror(code)
        if not self._trying:
            self._closed = True
            self._failed(self._error)

    def _answered(self, attempt: socket.socket, _events: int) -> None:
        if attempt not in self._trying:  # another was faster, in the same round of the loop
            return
        self._selector.unregister(attempt)
        self._trying.remove(attempt)
        code = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            attempt.close()
            self._error = os.strerror(code)
            self._try_next()
            return
        self.close()
        self._connected(attempt)
