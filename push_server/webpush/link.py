"""One connection to a push service: name, TCP and TLS below, HTTP/2 above."""

import contextlib
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from typing import Final

from push_server.webpush.dial import Dial
from push_server.webpush.http2 import GOAWAY, Code, Http2Connection, Http2Error, frame
from push_server.webpush.resolver import Resolver

_READ: Final = 1 << 18
_RECORD: Final = 16384


class Link:
    """`http2` is None until the service has agreed to HTTP/2; `error` says why the link is closed, None while it is
    not. `changed` is called when anything may have changed: room, answers, the end.

    `without_http2`: closed because the service speaks HTTP/1.1 alone.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        resolver: Resolver,
        context: ssl.SSLContext,
        where: tuple[str, int],
        *,
        public_only: bool,
        changed: Callable[["Link"], None],
    ) -> None:
        self.http2: Http2Connection | None = None
        self.error: str | None = None
        self.without_http2 = False
        self.opened = self.used = time.monotonic()
        self._selector = selector
        self._context = context
        self._host = where[0]
        self._changed = changed
        self._socket: socket.socket | None = None
        self._unsent = memoryview(b"")
        self._writes = False
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._dial = Dial(selector, public_only=public_only, connected=self._connected, failed=self._failed)
        self._dial.start(resolver, *where)

    @property
    def is_stuck(self) -> bool:
        """Whether the service has not read all that it was sent."""
        return bool(self._unsent)

    def tick(self, now: float) -> None:
        """Once in a while."""
        self._dial.tick(now)

    def close(self, error: str, code: Code | None = Code.NO_ERROR) -> None:
        """End the connection; what is under way stays in `http2`. `code`: None says no farewell."""
        if self.error is not None:
            return
        self.error = error
        self._dial.close()
        if self._socket is None:
            return
        if self.http2 is not None and code is not None and not self._unsent:
            self.http2.out.append(frame(GOAWAY, 0, 0, bytes(4) + code.to_bytes(4, "big")))
            with contextlib.suppress(OSError):
                self._write()
        self._selector.unregister(self._socket)
        self._socket.close()

    def flush(self) -> None:
        """Send what there is to send, as far as the network takes it now."""
        if self.error is not None:
            return
        try:
            self._write()
        except OSError as error:
            self._failed(str(error))

    def _write(self) -> None:
        assert self._socket is not None
        if self.http2 is not None and self.http2.out:
            self._tls.write(b"".join(self.http2.out))
            self.http2.out.clear()
        if self._outgoing.pending:
            data = self._outgoing.read()
            self._unsent = memoryview(b"".join((self._unsent, data)) if self._unsent else data)
        while self._unsent:
            try:
                self._unsent = self._unsent[self._socket.send(self._unsent) :]
            except (BlockingIOError, InterruptedError):
                break
        if self._writes is not bool(self._unsent):
            self._writes = bool(self._unsent)
            wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._writes else 0)
            self._selector.modify(self._socket, wanted, self._on_event)

    def _failed(self, error: str, code: Code | None = None) -> None:
        self.close(error, code)
        self._changed(self)

    def _connected(self, connected: socket.socket) -> None:
        self._socket = connected
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._selector.register(connected, selectors.EVENT_READ, self._on_event)
        self._tls = self._context.wrap_bio(self._incoming, self._outgoing, server_hostname=self._host)
        self._advance()

    def _on_event(self, events: int) -> None:
        if self.error is not None or self._socket is None:  # closed in the same round of the loop
            return
        if events & selectors.EVENT_READ:
            try:
                data = self._socket.recv(_READ)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._failed(str(error))
                return
            if not data:
                self._failed("the service closed the connection")
                return
            self._incoming.write(data)
        self._advance()

    def _advance(self) -> None:
        """Go on with the handshake, or take what came; then send what there is to say to it."""
        try:
            if self.http2 is None:
                self._shake_hands()
            if self.http2 is not None:
                self._read(self.http2)
            if self.error is None:
                self._write()
        except Http2Error as error:
            self._failed(str(error), error.code)
        except ssl.SSLError as error:  # a certificate that is not trusted, or no TLS at all
            self._last_words()
            self._failed(f"TLS failed: {error}")
        except OSError as error:
            self._failed(str(error))
        else:
            self._changed(self)

    def _shake_hands(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return
        if self._tls.selected_alpn_protocol() == "h2":
            self.http2 = Http2Connection()
        else:
            self.without_http2 = True
            self.close("the service speaks no HTTP/2")

    def _read(self, http2: Http2Connection) -> None:
        while True:
            try:
                data = self._tls.read(_RECORD)
            except ssl.SSLWantReadError:
                return
            if not data:
                raise ConnectionError("the service closed the connection")
            http2.receive(data)

    def _last_words(self) -> None:
        """Send the alert that says why, if it goes at once."""
        assert self._socket is not None
        with contextlib.suppress(OSError):
            self._socket.send(self._outgoing.read())
