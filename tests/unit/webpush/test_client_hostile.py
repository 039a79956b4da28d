"""The transport against services that mean it harm, or are not there: each message has its answer, others go on."""

import contextlib
import itertools
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from push_server.settings import settings
from push_server.webpush.client import PushClient
from push_server.webpush.http2 import DATA, GOAWAY, HEADERS, MAX_TRIES, PING, RST_STREAM, SETTINGS, Code, frame
from push_server.webpush.link import Link
from push_server.webpush.pool import MAX_IDLE, MISUNDERSTANDINGS
from push_server.webpush.response import Outcome, judge
from tests.doubles.http2_sink import Http2Sink
from tests.unit.webpush.test_client import allow, client, message, only, sink

__all__ = ["client", "sink"]

HELLO = frame(SETTINGS, 0, 0)
CREATED = frame(HEADERS, 5, 1, b"\x08\x03201")
Behaviour = Callable[[socket.socket], None]


class Hostile:
    """Calls `behaviour` with each connection, over TLS and told that it is HTTP/2; then closes it."""

    def __init__(self, ca_file: Path, behaviour: Behaviour, alpn: list[str], *, tls: bool = True) -> None:
        self.connections = 0
        self.ended = threading.Semaphore(0)
        self._behaviour, self._tls = behaviour, tls
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(ca_file)
        self._context.set_alpn_protocols(alpn)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.origin = f"https://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with contextlib.suppress(OSError), connection:
            if self._tls:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                self._behaviour(connection)
        self.ended.release()


@pytest.fixture
def hostile(sink: Http2Sink, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Hostile]]:
    """Starts one, beside a sink that is well."""
    started: list[Hostile] = []

    def start(behaviour: Behaviour, *alpn: str, tls: bool = True) -> Hostile:
        started.append(Hostile(sink.ca_file, behaviour, ["h2", *alpn], tls=tls))
        allow(monkeypatch, sink.origin, *(each.origin for each in started))
        return started[-1]

    yield start
    for each in started:
        each.close()


def until_closed(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass


def flood(*frames: bytes) -> Behaviour:
    def behaviour(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        while True:
            connection.sendall(b"".join(frames) * 100)

    return behaviour


def says(data: bytes) -> Behaviour:
    def behaviour(connection: socket.socket) -> None:
        connection.sendall(data)
        until_closed(connection)

    return behaviour


BROKEN = {
    "pings": flood(frame(PING, 0, 0, bytes(8))),
    "settings": flood(frame(SETTINGS, 0, 0, struct.pack(">HL", 4, 100))),
    "empty frames": flood(frame(HEADERS, 4, 1, b"\x08\x03503"), frame(DATA, 0, 1) * 10),
    "unknown frames": flood(frame(0x99, 0, 0, bytes(5000))),
    "noise": says(b"\xff" * 100),
    "HTTP/1.1": says(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "a huge frame": says(HELLO + b"\xff\xff\xff\x01\x04\x00\x00\x00\x01"),
    "closed at once": lambda _: None,
    "half a frame": lambda connection: connection.sendall(HELLO[:7]),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_service_that_breaks_the_protocol_costs_its_own_message_alone(
    sink: Http2Sink, client: PushClient, hostile: Callable[..., Hostile], kind: str
) -> None:
    service = hostile(BROKEN[kind])
    answers = {
        answer.ref: answer
        for answer in client.send(
            message(f"{service.origin}/x" if ref == 3 else sink.url("/ok"), ref) for ref in range(20)
        )
    }
    assert judge(answers.pop(3)).outcome is Outcome.RETRY
    assert {answer.status for answer in answers.values()} == {201}
    assert service.ended.acquire(timeout=10)


def test_a_service_that_only_says_farewell_is_not_asked_for_ever(
    client: PushClient, hostile: Callable[..., Hostile]
) -> None:
    service = hostile(says(HELLO + frame(GOAWAY, 0, 0, bytes(8))))
    assert judge(only(client.send([message(f"{service.origin}/x")]))).outcome is Outcome.RETRY
    assert service.connections <= MAX_TRIES


@pytest.mark.parametrize("tls", [True, False])
def test_a_service_that_never_speaks_holds_up_nobody_else(
    sink: Http2Sink, hostile: Callable[..., Hostile], tls: bool
) -> None:
    """Neither one that hangs in the handshake, nor one that reads nothing of what it is sent."""
    gone = threading.Event()
    service = hostile(lambda _: gone.wait(30), tls=tls)
    with PushClient(ca_file=str(sink.ca_file), timeout=1.0, connect_timeout=0.5) as client:
        to_all = [message(f"{service.origin}/x", ref, b"x" * 60000) for ref in range(100)]
        to_all += [message(sink.url("/ok"), ref) for ref in range(100, 300)]
        answers = list(client.send(to_all))
        assert [answer.status for answer in answers[:200]] == [201] * 200
        assert {answer.status for answer in answers[200:]} == {None}
        assert only(client.send([message(sink.url("/ok"))])).status == 201
    gone.set()


def test_a_connection_whose_service_reads_nothing_is_not_used_again(
    sink: Http2Sink, hostile: Callable[..., Hostile]
) -> None:
    """Or what is kept for it would grow with each call that is left early."""
    gone = threading.Event()
    most = 2**31 - 1
    windows = frame(SETTINGS, 0, 0, struct.pack(">HL", 4, most)) + frame(8, 0, 0, struct.pack(">L", most - 65535))

    def reads_nothing(connection: socket.socket) -> None:
        connection.sendall(windows)
        gone.wait(30)

    service = hostile(reads_nothing)
    with PushClient(ca_file=str(sink.ca_file), in_flight=100) as client:
        large = [message(f"{service.origin}/x", ref, b"x" * 400000) for ref in range(64)]
        answers = client.send(itertools.chain(large, itertools.repeat(message(sink.url("/ok")))))
        stuck: list[Link] = []
        while not stuck:
            assert next(answers).status == 201
            links = (link for origin in client._http2._origins.values() for link in origin.links)
            stuck = [link for link in links if link.is_stuck and link.http2 and len(link.http2.streams) == 64]
        answers.close()  # type: ignore[attr-defined]
        assert only(client.send([message(sink.url("/ok"))])).status == 201
        assert stuck[0].error is not None
    gone.set()


def test_a_connection_that_ended_between_two_calls_costs_no_message(
    client: PushClient, hostile: Callable[..., Hostile]
) -> None:
    def one_answer(connection: socket.socket) -> None:
        connection.sendall(HELLO)
        while b"body" not in connection.recv(65536):
            pass
        connection.sendall(CREATED)

    service = hostile(one_answer)
    for _ in range(3):
        assert only(client.send([message(f"{service.origin}/x", body=b"body")])).status == 201
        assert service.ended.acquire(timeout=10)
    assert service.connections == 3


def test_a_connection_that_was_idle_for_long_is_not_used_again(
    sink: Http2Sink, client: PushClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert only(client.send([message(sink.url("/ok"))])).status == 201
    assert only(client.send([message(sink.url("/ok"))])).status == 201
    assert sink.connections == 1
    later = time.monotonic() + MAX_IDLE + 1
    monkeypatch.setattr(time, "monotonic", lambda: later)
    assert only(client.send([message(sink.url("/ok"))])).status == 201
    assert sink.connections == 2


def test_an_address_that_leads_nowhere_is_passed_by(
    sink: Http2Sink, client: PushClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    origin = f"https://localhost:{sink.port}"
    allow(monkeypatch, origin)
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, sink.port)) for host in ("192.0.2.1", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert only(client.send([message(f"{origin}/ok")])).status == 201


def test_a_name_without_an_address_is_an_error(client: PushClient, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, "https://nowhere.invalid")
    answer = only(client.send([message("https://nowhere.invalid/x")]))
    assert answer.error is not None
    assert "nowhere.invalid was not found" in answer.error


def test_a_name_that_takes_long_holds_up_nobody_else(sink: Http2Sink, monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch, sink.origin, "https://slow.example")
    found = threading.Event()

    def slow(*_: object, **__: object) -> list[object]:
        found.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with PushClient(ca_file=str(sink.ca_file), connect_timeout=0.5) as client:
        answers = list(client.send([message("https://slow.example/x", 1), message(sink.url("/ok"), 2)]))
        assert [(answer.ref, answer.status) for answer in answers] == [(2, 201), (1, None)]
        found.set()
        assert only(client.send([message(sink.url("/ok"))])).status == 201


def test_nothing_stays_open(sink: Http2Sink, hostile: Callable[..., Hostile]) -> None:
    service = hostile(BROKEN["noise"])
    client = PushClient(ca_file=str(sink.ca_file))
    list(client.send(message(f"{origin}/ok", 1) for origin in (sink.origin, service.origin) * 100))
    links = [(origin.name, link) for origin in client._http2._origins.values() for link in origin.links]
    open_now = [key.fileobj for key in client._selector.get_map().values()]
    assert {name for name, _ in links} == {sink.origin}
    assert len(open_now) == len(links) + 1  # the resolver's
    client.close()
    assert all(each.fileno() == -1 for each in open_now if isinstance(each, socket.socket))
    settings.cache_clear()


def test_a_certificate_for_another_name_is_an_error(
    sink: Http2Sink, client: PushClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is trusted vouches for the names that it holds alone."""
    allow(monkeypatch, f"https://push.example:{sink.port}")
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", sink.port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    answer = only(client.send([message(f"https://push.example:{sink.port}/ok")]))
    assert answer.status is None
    assert "certificate" in (answer.error or "")
    assert not sink.received


@pytest.mark.parametrize(
    ("answer", "lost"),
    [
        # What it did nothing with goes again at once.
        (HELLO + frame(GOAWAY, 0, 0, bytes(4) + Code.COMPRESSION_ERROR.to_bytes(4, "big")), 0),
        (HELLO + frame(RST_STREAM, 0, 1, Code.PROTOCOL_ERROR.to_bytes(4, "big")), MISUNDERSTANDINGS),
        (HELLO + frame(HEADERS, 5, 1, b"\xff\xff\xff"), MISUNDERSTANDINGS),
        (frame(PING, 0, 0, bytes(8)), MISUNDERSTANDINGS),
    ],
    ids=["goaway", "reset", "no header block", "no settings"],
)
def test_whom_our_http2_does_not_suit_is_posted_to_without(
    client: PushClient, hostile: Callable[..., Hostile], answer: bytes, lost: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever is at fault: messages go out, and the log says so once."""

    def behave(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        received = connection.recv(65536)
        if connection.selected_alpn_protocol() != "h2":
            while b"\r\n\r\n" not in received:
                received += connection.recv(65536)
            connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        connection.sendall(answer)
        while connection.recv(65536):
            pass

    service = hostile(behave, "http/1.1")
    found = [only(client.send([message(f"{service.origin}/push")])).status for _ in range(6)]
    assert found == [None] * lost + [201] * (6 - lost)
    assert sum("HTTP/2 fails there" in each.message for each in caplog.records) == 1


def test_who_answers_in_between_is_trusted(sink: Http2Sink, client: PushClient) -> None:
    """It speaks HTTP/2 alone: over HTTP/1.1 nothing would arrive."""
    for _ in range(MISUNDERSTANDINGS + 1):
        assert only(client.send([message(sink.url("/broken"))])).status is None
        assert only(client.send([message(sink.url("/ok"))])).status == 201


def test_who_speaks_http2_alone_is_not_left_for_a_bad_moment(
    sink: Http2Sink, client: PushClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Over HTTP/1.1 nothing would arrive for ten minutes."""
    for _ in range(MISUNDERSTANDINGS):
        assert only(client.send([message(sink.url("/broken"))])).status is None
    assert only(client.send([message(sink.url("/ok"))])).status is None  # by HTTP/1.1
    assert only(client.send([message(sink.url("/ok"))])).status == 201
    assert "does not answer to HTTP/1.1" in caplog.text


def test_who_answered_by_http1_is_not_doubted_for_one_silence(
    client: PushClient, hostile: Callable[..., Hostile]
) -> None:
    """Its HTTP/2 would not be understood again, at the cost of as many messages."""
    offers: list[str | None] = []

    def behave(connection: socket.socket) -> None:
        assert isinstance(connection, ssl.SSLSocket)
        offers.append(connection.selected_alpn_protocol())
        if offers[-1] == "h2":
            connection.sendall(frame(PING, 0, 0, bytes(8)))
            while connection.recv(65536):
                pass
            return
        received = b""
        while b"\r\n\r\n" not in received:
            received += connection.recv(65536)
        if len(offers) != MISUNDERSTANDINGS + 2:
            connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    service = hostile(behave, "http/1.1")
    found = [only(client.send([message(f"{service.origin}/push")])).status for _ in range(MISUNDERSTANDINGS + 3)]
    assert found == [None] * MISUNDERSTANDINGS + [201, None, 201]
    assert "h2" not in offers[MISUNDERSTANDINGS:]
