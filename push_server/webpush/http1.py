"""HTTP/1.1 by libcurl's multi interface: for the operator's own plain origins, and services without HTTP/2."""

import selectors
import socket
import time
from collections import deque
from io import BytesIO
from typing import Any, Final

import pycurl

from push_server.webpush import guard
from push_server.webpush.exchange import MAX_BODY, Exchange
from push_server.webpush.message import PushResponse

CONNECTIONS_PER_ORIGIN: Final = 32
MAX_CONNECTIONS: Final = 128
_EVENTS = {
    pycurl.POLL_IN: selectors.EVENT_READ,
    pycurl.POLL_OUT: selectors.EVENT_WRITE,
    pycurl.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}


class Http1:
    """`start` takes exchanges, `done` fills with answers. `due`: when `tick` is wanted, by `time.monotonic`.

    `answered` and `unanswered` fill with the origins of messages that had an answer, and of those that had none.
    """

    def __init__(self, selector: selectors.BaseSelector, ca_file: str, timeout: float, connect_timeout: float) -> None:
        self.done: deque[PushResponse] = deque()
        self.due: float | None = None
        self.answered: set[str] = set()
        self.unanswered: set[str] = set()
        self._selector = selector
        self._settings = (ca_file, timeout, connect_timeout)
        self._idle: list[_Request] = []
        self._busy: dict[Any, _Request] = {}
        self._stalled = False
        self._open()

    def start(self, exchange: Exchange) -> None:
        """Put a message under way."""
        request = self._idle.pop() if self._idle else _Request(*self._settings)
        request.prepare(exchange)
        self._busy[request.curl] = request
        self._multi.add_handle(request.curl)

    def tick(self, now: float) -> None:
        """Let libcurl look at its clock."""
        if self.due is not None and now >= self.due:
            self.due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)
            self._collect()

    def abandon(self) -> None:
        """Forget everything under way; connections that stand are kept."""
        for curl in list(self._busy):
            self._finish(curl)
        self.done.clear()
        if self._stalled:
            # A connection that let a message time out may be dead without knowing it: the next call opens anew.
            self.close()
            self._open()

    def close(self) -> None:
        """Close every connection."""
        for curl in list(self._busy):
            self._finish(curl)
        for request in self._idle:
            request.curl.close()
        self._idle.clear()
        self._multi.close()

    def _open(self) -> None:
        self._stalled, self.due = False, None
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, CONNECTIONS_PER_ORIGIN)
        self._multi.setopt(pycurl.M_MAXCONNECTS, MAX_CONNECTIONS)  # by default four for each message under way
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)

    def _collect(self) -> None:
        more = self._busy
        while more:
            more, answered, failed = self._multi.info_read()
            for curl in answered:
                self._end(curl, None)
            for curl, code, text in failed:
                self._stalled = self._stalled or (
                    code == pycurl.E_OPERATION_TIMEDOUT and curl.getinfo(pycurl.PRETRANSFER_TIME) > 0
                )
                self._end(curl, text or f"libcurl error {code}")

    def _end(self, curl: Any, error: str | None) -> None:
        request = self._finish(curl)
        response = request.response(error)
        (self.unanswered if response.status is None else self.answered).add(request.origin)
        self.done.append(response)

    def _finish(self, curl: Any) -> "_Request":
        request = self._busy.pop(curl)
        self._multi.remove_handle(curl)
        self._idle.append(request)
        return request

    def _on_socket(self, event: int, fd: int, _multi: object, _data: object) -> None:
        if event == pycurl.POLL_REMOVE:
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
        elif fd in self._selector.get_map():
            self._selector.modify(fd, _EVENTS[event], lambda events: self._on_event(fd, events))
        else:
            self._selector.register(fd, _EVENTS[event], lambda events: self._on_event(fd, events))

    def _on_event(self, fd: int, events: int) -> None:
        mask = pycurl.CSELECT_IN if events & selectors.EVENT_READ else 0
        mask |= pycurl.CSELECT_OUT if events & selectors.EVENT_WRITE else 0
        self._multi.socket_action(fd, mask)
        self._collect()

    def _on_timer(self, milliseconds: int) -> None:
        self.due = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000


class _Request:
    """A libcurl handle, used again for message after message.

    libcurl posts again by itself when a connection that it used before ends without an answer, though the message may
    have arrived. For that it asks for the body from its beginning, which one that may go out `once` is not given.
    """

    __slots__ = ("_body", "_exchange", "_is_over", "_lines", "_private", "_public_only", "_source", "curl")

    def __init__(self, ca_file: str, timeout: float, connect_timeout: float) -> None:
        self._lines: list[bytes] = []
        self._body = bytearray()
        self._private: str | None = None
        curl = self.curl = pycurl.Curl()
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_1_1)
        curl.setopt(pycurl.TIMEOUT_MS, int(timeout * 1000))
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(connect_timeout * 1000))
        curl.setopt(pycurl.CAINFO, ca_file)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.PROXY, "")  # a proxy of the environment would resolve names behind our back
        curl.setopt(pycurl.PATH_AS_IS, 1)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        curl.setopt(pycurl.HEADERFUNCTION, self._lines.append)  # a builtin: cheaper than a function of ours
        curl.setopt(pycurl.WRITEFUNCTION, self._read_body)
        curl.setopt(pycurl.READFUNCTION, self._give_body)
        curl.setopt(pycurl.SEEKFUNCTION, self._rewind)

    def prepare(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._lines.clear()
        self._body.clear()
        self._public_only = not guard.is_operator_origin(exchange.origin)
        self._private = None
        message = exchange.message
        lines = [f"{name}: {value}" for name, value in exchange.fields]
        if message.topic is not None:
            lines.append(f"topic: {message.topic}")
        self.curl.setopt(pycurl.URL, message.endpoint)
        self.curl.setopt(pycurl.HTTPHEADER, [*lines, "Accept:", "Expect:"])  # libcurl's own two, left out
        self.curl.setopt(pycurl.POSTFIELDSIZE_LARGE, len(message.body))
        self._source, self._is_over = BytesIO(message.body), False

    @property
    def origin(self) -> str:
        return self._exchange.origin

    def response(self, error: str | None) -> PushResponse:
        """What came back."""
        status = self.curl.getinfo(pycurl.RESPONSE_CODE)
        self._exchange.tries += self.curl.getinfo(pycurl.REQUEST_SIZE) > 0
        if status >= 200:
            self._exchange.status = status
            self._exchange.retry_after = self._header(b"retry-after:")
            self._exchange.body = bytes(self._body)
        elif self._private is not None:
            error = f"{self._private} is no public address"
        return self._exchange.response(error)

    def _header(self, name: bytes) -> bytes | None:
        """A header of the last block of header lines (there may be interim ones before it)."""
        for line in reversed(self._lines):
            if line[: len(name)].lower() == name:
                return line[len(name) :]
            if line.startswith(b"HTTP/"):
                break
        return None

    def _give_body(self, size: int) -> bytes | int:
        return int(pycurl.READFUNC_ABORT) if self._is_over else self._source.read(size)

    def _rewind(self, offset: int, whence: int) -> int:
        # it is the read that is refused: a seek that fails would leave the ended connection to the next message
        self._is_over = self._exchange.message.once
        self._source.seek(offset, whence)
        return int(pycurl.SEEKFUNC_OK)

    def _read_body(self, data: bytes) -> int:
        """What libcurl should think was read; anything but all of it ends the response."""
        self._body += data[: MAX_BODY - len(self._body)]
        return len(data) if len(self._body) < MAX_BODY else 0

    def _open_socket(self, _purpose: int, address: Any) -> Any:
        """The socket to one resolved address, unless a public name leads to one that is not public."""
        family, kind, protocol, where = address
        if self._public_only and not guard.is_public_address(where[0]):
            self._private = where[0]
            return pycurl.SOCKET_BAD
        return socket.socket(family, kind, protocol)
