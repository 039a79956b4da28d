"""The transport against services that break HTTP/2, end it in the middle, or do not speak it."""

import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from push_server.settings import settings
from push_server.webpush.client import PushClient
from push_server.webpush.response import Outcome, judge
from tests.doubles.http2_sink import Http2Sink, certificate
from tests.unit.webpush.test_client import allow, message, only, sink

__all__ = ["sink"]


WAITS = 60.0
"""Seconds that a client which waits for a connection that is gone takes here: more than the slowest machine does."""


@pytest.fixture
def client(sink: Http2Sink) -> Iterator[PushClient]:
    with PushClient(ca_file=str(sink.ca_file), timeout=WAITS, connect_timeout=WAITS) as client:
        yield client


@pytest.mark.parametrize("path", ["/cancel", "/broken", "/torn", "/half"])
def test_what_is_no_answer_is_tried_again(sink: Http2Sink, client: PushClient, path: str) -> None:
    answer = only(client.send([message(sink.url(path))]))
    assert answer.status == (503 if path == "/half" else None)  # whose status had come
    assert answer.error
    assert judge(answer).outcome is Outcome.RETRY
    assert only(client.send([message(sink.url("/ok"))])).status == 201


@pytest.mark.parametrize("path", ["/cancel", "/broken", "/torn", "/goaway", "/cut"])
def test_a_fault_in_the_middle_of_many_costs_no_answer(sink: Http2Sink, client: PushClient, path: str) -> None:
    """Whoever shared the connection may have no status, but each has one answer, and later ones go out."""
    paths = [f"{path}/{n}" if n % 50 == 25 else f"/ok/{n}" for n in range(300)]
    began = time.monotonic()
    answers = list(client.send(message(sink.url(path), ref) for ref, path in enumerate(paths)))
    assert time.monotonic() - began < WAITS, "some waited for a connection that was gone"
    assert sorted(answer.ref for answer in answers) == list(range(300))
    assert {judge(answer).outcome for answer in answers} == {Outcome.ACCEPTED, Outcome.RETRY}
    accepted = {paths[answer.ref] for answer in answers if answer.status == 201}
    assert accepted <= {received.path for received in sink.received}
    again = list(client.send(message(sink.url(f"/ok/again/{ref}"), ref) for ref in range(100)))
    assert {answer.status for answer in again} == {201}


def test_what_a_goaway_leaves_out_goes_over_another_connection_at_once(sink: Http2Sink, client: PushClient) -> None:
    paths = [f"/drain/{n}" if n % 100 == 20 else f"/ok/{n}" for n in range(300)]
    began = time.monotonic()
    answers = list(client.send(message(sink.url(path), ref) for ref, path in enumerate(paths)))
    assert time.monotonic() - began < WAITS
    assert {answer.status for answer in answers} == {201}
    assert sorted(received.path for received in sink.received) == sorted(paths)  # each once
    received_on = {received.path: received.connection for received in sink.received}
    drained = {received_on[path] for path in paths if path.startswith("/drain")}
    assert len(drained) == 3  # a connection that said GOAWAY gets nothing more


class Old(BaseHTTPRequestHandler):
    """A request for /together is answered once eight are under way, which one connection would never carry."""

    protocol_version = "HTTP/1.1"
    eight = threading.Barrier(8)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/together":
            self.eight.wait(120)
        self.send_response_only(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """An origin that offers HTTP/1.1 alone over TLS, and its certificate."""
    path = certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    context.set_alpn_protocols(["http/1.1"])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Old)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    origin = f"https://127.0.0.1:{server.server_port}"
    allow(monkeypatch, origin)
    yield origin, path
    server.shutdown()
    server.server_close()
    thread.join()
    settings.cache_clear()


def test_a_service_without_http_2_is_posted_to_over_several_connections(old: tuple[str, Path]) -> None:
    """Once its first answer has shown that it has none."""
    origin, ca_file = old
    with PushClient(ca_file=str(ca_file), in_flight=8, timeout=120) as client:
        assert only(client.send([message(f"{origin}/first")])).status == 201
        answers = list(client.send(message(f"{origin}/together", ref) for ref in range(8)))
        assert [answer.status for answer in answers] == [201] * 8
