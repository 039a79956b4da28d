"""A push service over TLS and HTTP/2, framed by the h2 library, that answers by the path it is asked:

/ok 201 · /status/NNN · /busy/VALUE 429 with that Retry-After · /hang never · /reset and /cancel the stream · /refuse
the stream once, then 201 · /goaway and close · /drain: GOAWAY that leaves out what comes later, never to be answered ·
/cut the connection, without TLS's farewell · /torn: half a frame, then cut · /half: a status, half a body, then cut ·
/broken: a frame that no stream may have · /redirect 307 to /ok · /endless a body without end · /gate waits until
`gate_opens_at` requests are under way at once.
"""

import asyncio
import contextlib
import datetime
import ipaddress
import ssl
import struct
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError


def certificate(directory: Path) -> Path:
    """A PEM file with a new key and its own certificate for 127.0.0.1 and localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = directory / "sink.pem"
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(secret + made.public_bytes(pem))
    return path


@dataclass(slots=True)
class Received:
    """One request in full."""

    path: str
    headers: dict[str, str]
    body: bytes
    connection: int


_RESETS = {
    "reset": ErrorCodes.INTERNAL_ERROR,
    "cancel": ErrorCodes.CANCEL,
    "refuse": ErrorCodes.REFUSED_STREAM,
}
_DATA_OF_NO_STREAM = bytes([0, 0, 1, 0, 0, 0, 0, 0, 0, 0x2A])  # RFC 9113 §6.1: a connection error


def _goaway(last: int) -> bytes:
    """The frame that says: no stream after this one was looked at (RFC 9113 §6.8)."""
    return struct.pack(">BHBBIII", 0, 8, 7, 0, 0, last, 0)


@dataclass(slots=True)
class _Stream:
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)


class Http2Sink:
    """`with Http2Sink(directory) as sink:` serves from a thread; `sink.url("/ok")`, `sink.received`."""

    def __init__(self, directory: Path) -> None:
        self.ca_file = certificate(directory)
        self.received: list[Received] = []
        self.connections = 0
        self.under_way: Counter[int] = Counter()  # by connection
        self.most_under_way = 0
        self.most_on_one_connection = 0
        self.gate_opens_at = 1
        self.latency = 0.0  # seconds that each answer takes
        self.closed: set[int] = set()
        self._refused: set[str] = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Http2Sink":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def url(self, path: str) -> str:
        return f"{self.origin}{path}"

    @property
    def origin(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def behaviour(self, received: Received) -> str:
        """How to answer a request, as the paths above have it."""
        return received.path

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop, self._gate = asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.ca_file)
        context.set_alpn_protocols(["h2"])
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, ssl=context)
        self.port: int = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self.connections += 1
        number = self.connections
        try:
            await self._talk(reader, writer, number)
        except (ConnectionError, ProtocolError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            self.closed.add(number)
            self.under_way[number] = 0
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        h2.local_settings.max_concurrent_streams = 100  # as the public services have it
        h2.initiate_connection()
        streams: dict[int, _Stream] = {}
        last: int | None = None
        writer.write(h2.data_to_send())
        while data := await reader.read(65536):
            for event in h2.receive_data(data):
                if isinstance(event, RequestReceived):
                    assert event.headers is not None
                    streams[event.stream_id] = _Stream({str(name): str(value) for name, value in event.headers})
                    self.under_way[number] += 1
                    self.most_under_way = max(self.most_under_way, self.under_way.total())
                    if self.under_way.total() >= self.gate_opens_at:
                        self._gate.set()
                    self.most_on_one_connection = max(self.most_on_one_connection, self.under_way[number])
                elif isinstance(event, DataReceived):
                    streams[event.stream_id].body += event.data or b""
                    h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                elif isinstance(event, StreamReset):
                    self.under_way[number] -= streams.pop(event.stream_id, None) is not None
                elif isinstance(event, StreamEnded) and last is None:
                    stream = streams[event.stream_id]
                    received = Received(stream.headers[":path"], stream.headers, bytes(stream.body), number)
                    self.received.append(received)
                    behaviour = self.behaviour(received)
                    if behaviour.startswith("/drain"):
                        last = event.stream_id
                        writer.write(h2.data_to_send() + _goaway(last))
                    answer = self._answer(h2, writer, event.stream_id, behaviour)
                    reply = self._loop.create_task(self._reply(answer, number))
                    self._tasks.add(reply)
                    reply.add_done_callback(self._tasks.discard)
            writer.write(h2.data_to_send())
            await writer.drain()

    async def _reply(self, answer: Any, number: int) -> None:
        with contextlib.suppress(ConnectionError, ProtocolError):  # the client has gone meanwhile
            await answer
        self.under_way[number] -= 1

    async def _answer(self, h2: H2Connection, writer: asyncio.StreamWriter, stream: int, path: str) -> None:
        def send(status: int, *more: tuple[str, str], body: bytes = b"", end: bool = True) -> None:
            h2.send_headers(stream, [(":status", str(status)), *more], end_stream=end and not body)
            if body:
                h2.send_data(stream, body, end_stream=end)

        _, kind, *rest = path.split("/", 2)
        if kind == "hang":
            return
        if self.latency:
            await asyncio.sleep(self.latency)
        if kind == "gate":
            await self._gate.wait()
        if kind == "status":
            send(int(rest[0]), body=b'{"reason":"VapidPkHashMismatch"}')
        elif kind == "busy":
            send(429, ("retry-after", rest[0].replace("_", " ")))
        elif kind == "redirect":
            send(307, ("location", "/ok"))
        elif kind in _RESETS and path not in self._refused:
            if kind == "refuse":
                self._refused.add(path)
            h2.reset_stream(stream, _RESETS[kind])
        elif kind == "goaway":
            h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
        elif kind == "broken":
            writer.write(_DATA_OF_NO_STREAM)
        elif kind == "half":
            send(503, ("content-length", "9"), body=b"half", end=False)
        elif kind == "endless":
            send(500, end=False)
            while True:
                h2.send_data(stream, b"x" * min(1024, h2.local_flow_control_window(stream)))
                writer.write(h2.data_to_send())
                await writer.drain()
                await asyncio.sleep(0.001)
        elif kind != "cut":
            send(201, ("location", f"/message{path}"))
        if writer.is_closing():
            return
        writer.write(h2.data_to_send()[: 5 if kind == "torn" else None])
        if kind == "goaway":
            writer.close()
        elif kind in ("cut", "half", "torn"):
            await writer.drain()
            await asyncio.sleep(0)
            writer.transport.abort()
