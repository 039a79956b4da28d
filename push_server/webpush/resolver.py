"""Names to addresses without stopping the loop: the system's resolver blocks, so it works in a thread of its own."""

import selectors
import socket
from collections.abc import Callable
from ipaddress import ip_address
from queue import SimpleQueue
from threading import Thread

Address = tuple[socket.AddressFamily, tuple[str, int]]
Asker = Callable[[list[Address], str | None], None]


class Resolver:
    """`ask` calls back from the loop of `selector`."""

    def __init__(self, selector: selectors.BaseSelector) -> None:
        self._selector = selector
        self._found: SimpleQueue[tuple[Asker, list[Address], str | None]] = SimpleQueue()
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._there.setblocking(False)
        selector.register(self._here, selectors.EVENT_READ, self._deliver)

    def close(self) -> None:
        """Stop listening; threads that still wait for the system end by themselves."""
        self._selector.unregister(self._here)
        self._here.close()
        self._there.close()

    def ask(self, host: str, port: int, asker: Asker) -> None:
        """Find a host's addresses: `asker` gets them, or none and what went wrong."""
        try:
            address = ip_address(host)
        except ValueError:
            Thread(target=self._look_up, args=(host, port, asker), daemon=True, name="resolver").start()
        else:
            asker([(socket.AF_INET if address.version == 4 else socket.AF_INET6, (host, port))], None)

    def _look_up(self, host: str, port: int, asker: Asker) -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses: list[Address] = [(family, (str(where[0]), port)) for family, _, _, _, where in found]
            self._found.put((asker, addresses, None))
        except (OSError, UnicodeError) as error:
            self._found.put((asker, [], f"the name {host} was not found: {error}"))
        try:
            self._there.send(b"!")
        except OSError:  # full, so that it wakes up anyway; or closed
            return

    def _deliver(self, _events: int) -> None:
        self._here.recv(4096)
        while not self._found.empty():
            asker, addresses, error = self._found.get()
            asker(addresses, error)
