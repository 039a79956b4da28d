"""The pooled transport to push services: libcurl's multi interface, HTTP/2, no threads.

Many messages are in flight at once over few connections, and the connections outlive a call, so that the next chunk
of messages finds them open. One client belongs to one thread of one process: make a new one after a fork.
"""

import selectors
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from typing import Any, Final

import certifi
import pycurl

from push_server import clock
from push_server.errors import Invalid
from push_server.webpush import guard
from push_server.webpush.message import PushMessage, PushResponse, headers
from push_server.webpush.response import NOT_SENT, parse_retry_after

__all__ = ["PushClient", "PushMessage", "PushResponse"]

IN_FLIGHT: Final = 256
TIMEOUT: Final = 10.0
"""Seconds for one request, the wait for a connection included."""
CONNECT_TIMEOUT: Final = 5.0
MAX_BODY: Final = 4096
"""Bytes read of a response's body; a longer one is cut off there, and its status counts all the same."""
STREAMS: Final = 64
"""Messages under way on one HTTP/2 connection before another is opened: at a round trip of 50 ms a single one of 128
streams carries 2,400 messages a second, four of 64 carry 5,000."""
CONNECTIONS_PER_ORIGIN: Final = 32
"""A bound for HTTP/1.1, where a connection carries one message at a time."""
MAX_CONNECTIONS: Final = 128
"""Kept open over all origins; Windows' push service alone has a name for each of its regions."""
LOOK_ROUND: Final = 0.25
"""Seconds between two looks at every connection. When one ends, by GOAWAY or a broken frame, libcurl tells one of its
messages; the others it would leave alone until their timeouts, 5 to 10 s later."""
_MAX_TEXT = 2048
_EVENTS = {
    pycurl.POLL_IN: selectors.EVENT_READ,
    pycurl.POLL_OUT: selectors.EVENT_WRITE,
    pycurl.POLL_INOUT: selectors.EVENT_READ | selectors.EVENT_WRITE,
}


class PushClient:
    """Posts push messages; `send` yields one answer for each."""

    def __init__(
        self,
        *,
        in_flight: int = IN_FLIGHT,
        timeout: float = TIMEOUT,
        connect_timeout: float = CONNECT_TIMEOUT,
        ca_file: str | None = None,
    ) -> None:
        """`ca_file`: PEM certificates to trust; by default the system's (SSL_CERT_FILE), else certifi's."""
        self._in_flight = in_flight
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._ca_file = ca_file or ssl.get_default_verify_paths().cafile or certifi.where()
        self._idle: list[_Request] = []
        self._busy: dict[Any, _Request] = {}
        self._open()

    def __enter__(self) -> "PushClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(self, messages: Iterable[PushMessage]) -> Iterator[PushResponse]:
        """Post every message and yield exactly one response for each, in the order of the answers.

        Messages are pulled only as others are answered, so that a generator which encrypts works while the network
        does. When `messages` raises, what is already under way is answered first; then the error goes on to the
        caller. Leaving the iterator early abandons what is under way.
        """
        if self._busy:
            raise RuntimeError("this client is sending already")
        # Between two looks at the network a quarter of what may be under way is pulled, and nothing until there is
        # room for that: fewer and larger reads and writes, a tenth of the CPU time of a message.
        burst = max(self._in_flight // 4, 1)
        source = iter(messages)
        failure: Exception | None = None
        more = True
        try:
            while more or self._busy:
                room = self._in_flight - len(self._busy)
                pull = burst if more and room >= burst else 0
                for _ in range(pull):
                    try:
                        message = next(source)
                    except StopIteration:
                        more = False
                        break
                    except Exception as error:
                        more, failure = False, error
                        break
                    refusal = self._start(message)
                    if refusal is not None:
                        yield refusal
                self._work(wait=not pull)
                yield from self._answers()
        finally:
            self._abandon()
            if self._stalled:
                # A connection that let a message time out may be dead without knowing it: the next call opens anew.
                self._close_connections()
                self._open()
        if failure is not None:
            raise failure

    def close(self) -> None:
        """Close every connection."""
        self._abandon()
        self._close_connections()

    def _open(self) -> None:
        self._stalled = False
        self._due: float | None = None
        self._looked = 0.0
        self._selector = selectors.DefaultSelector()
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, 2)  # CURLPIPE_MULTIPLEX
        self._multi.setopt(pycurl.M_MAX_CONCURRENT_STREAMS, STREAMS)
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, CONNECTIONS_PER_ORIGIN)
        self._multi.setopt(pycurl.M_MAXCONNECTS, MAX_CONNECTIONS)  # by default four for each message under way
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._on_socket)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._on_timer)

    def _close_connections(self) -> None:
        for request in self._idle:
            request.curl.close()
        self._idle.clear()
        self._multi.close()
        self._selector.close()

    def _start(self, message: PushMessage) -> PushResponse | None:
        """Put a message under way; or the answer to one that may not be posted."""
        try:
            origin = guard.check_endpoint(message.endpoint)
            lines = headers(message)
        except (Invalid, ValueError) as error:
            return PushResponse(message.ref, None, error=f"{NOT_SENT}: {error}")
        request = self._idle.pop() if self._idle else self._new_request()
        request.prepare(message, lines, public_only=not guard.is_operator_origin(origin))
        self._busy[request.curl] = request
        self._multi.add_handle(request.curl)
        return None

    def _new_request(self) -> "_Request":
        return _Request(self._timeout, self._connect_timeout, self._ca_file)

    def _work(self, *, wait: bool) -> None:
        """Let libcurl read, write and look at its clock; with `wait`, sleep until there is something to do."""
        pause = 0.0
        if wait and self._busy:
            pause = LOOK_ROUND if self._due is None else max(0.0, self._due - time.monotonic())
        for key, events in self._selector.select(min(pause, LOOK_ROUND)):
            mask = pycurl.CSELECT_IN if events & selectors.EVENT_READ else 0
            mask |= pycurl.CSELECT_OUT if events & selectors.EVENT_WRITE else 0
            self._multi.socket_action(key.fd, mask)
        now = time.monotonic()
        if now - self._looked >= LOOK_ROUND:
            self._looked = now
            for fd in list(self._selector.get_map()):
                self._multi.socket_action(fd, 0)
        if self._due is not None and now >= self._due:
            self._due = None
            self._multi.socket_action(pycurl.SOCKET_TIMEOUT, 0)

    def _answers(self) -> Iterator[PushResponse]:
        more = self._busy
        while more:
            more, answered, failed = self._multi.info_read()
            for curl in answered:
                yield self._finish(curl).response(None)
            for curl, code, text in failed:
                self._stalled = self._stalled or (
                    code == pycurl.E_OPERATION_TIMEDOUT and curl.getinfo(pycurl.PRETRANSFER_TIME) > 0
                )
                yield self._finish(curl).response(text or f"libcurl error {code}")

    def _finish(self, curl: Any) -> "_Request":
        request = self._busy.pop(curl)
        self._multi.remove_handle(curl)
        self._idle.append(request)
        return request

    def _abandon(self) -> None:
        for curl in list(self._busy):
            self._finish(curl)

    def _on_socket(self, event: int, fd: int, _multi: object, _data: object) -> None:
        if event == pycurl.POLL_REMOVE:
            if fd in self._selector.get_map():
                self._selector.unregister(fd)
        elif fd in self._selector.get_map():
            self._selector.modify(fd, _EVENTS[event])
        else:
            self._selector.register(fd, _EVENTS[event])

    def _on_timer(self, milliseconds: int) -> None:
        self._due = None if milliseconds < 0 else time.monotonic() + milliseconds / 1000


class _Request:
    """A libcurl handle, used again for message after message."""

    __slots__ = ("_body", "_lines", "_private", "_public_only", "_ref", "_secure", "_sent", "curl")

    def __init__(self, timeout: float, connect_timeout: float, ca_file: str) -> None:
        self._lines: list[bytes] = []
        self._body = bytearray()
        self._ref = 0
        self._public_only = True
        self._private: str | None = None
        self._secure: bool | None = None
        self._sent: list[str] | None = None
        curl = self.curl = pycurl.Curl()
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.HTTP_VERSION, pycurl.CURL_HTTP_VERSION_2TLS)
        curl.setopt(pycurl.TIMEOUT_MS, int(timeout * 1000))
        curl.setopt(pycurl.CONNECTTIMEOUT_MS, int(connect_timeout * 1000))
        curl.setopt(pycurl.CAINFO, ca_file)
        curl.setopt(pycurl.PROTOCOLS, pycurl.PROTO_HTTP | pycurl.PROTO_HTTPS)
        curl.setopt(pycurl.FOLLOWLOCATION, 0)
        curl.setopt(pycurl.PROXY, "")  # a proxy of the environment would resolve names behind our back
        curl.setopt(pycurl.PATH_AS_IS, 1)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.TCP_KEEPALIVE, 1)
        curl.setopt(pycurl.USERAGENT, "Homing")
        curl.setopt(pycurl.OPENSOCKETFUNCTION, self._open_socket)
        curl.setopt(pycurl.HEADERFUNCTION, self._lines.append)  # a builtin: cheaper than a function of ours
        curl.setopt(pycurl.WRITEFUNCTION, self._read_body)

    def prepare(self, message: PushMessage, lines: list[str], *, public_only: bool) -> None:
        self._lines.clear()
        self._body.clear()
        self._ref = message.ref
        self._public_only = public_only
        self._private = None
        self.curl.setopt(pycurl.URL, message.endpoint)
        secure = message.endpoint.startswith("https:")
        if secure is not self._secure:
            # Over TLS rather wait for a multiplexed connection than open another. Plain HTTP is never multiplexed:
            # there the wait would only put every message behind the first one's answer.
            self.curl.setopt(pycurl.PIPEWAIT, secure)
            self._secure = secure
        if lines is not self._sent:  # `headers` keeps the usual lists
            self.curl.setopt(pycurl.HTTPHEADER, lines)
            self._sent = lines
        self.curl.setopt(pycurl.POSTFIELDS, message.body)

    def response(self, error: str | None) -> PushResponse:
        """What came back. A status that came is the answer, even when the connection broke or stalled behind it."""
        status = self.curl.getinfo(pycurl.RESPONSE_CODE)
        if status < 200:
            if self._private is not None:
                error = f"{self._private} is no public address"
            return PushResponse(self._ref, None, error=error or "no answer")
        if status < 300:
            return PushResponse(self._ref, status)
        retry_after = self._header(b"retry-after:")
        return PushResponse(
            self._ref,
            status,
            retry_after=None if retry_after is None else parse_retry_after(retry_after, clock.now()),
            error=self._body[:_MAX_TEXT].decode("ascii", "replace"),
        )

    def _header(self, name: bytes) -> str | None:
        """A header of the last block of header lines (there may be interim ones before it)."""
        for line in reversed(self._lines):
            if line[: len(name)].lower() == name:
                return line[len(name) : _MAX_TEXT].strip().decode("ascii", "replace")
            if line.startswith(b"HTTP/"):
                break
        return None

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
