"""The transport against a real HTTP/2 server over TLS (framed by h2) and a real plain HTTP/1.1 one."""

import re
import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from push_server.settings import settings
from push_server.webpush import guard
from push_server.webpush.client import IN_FLIGHT, STREAMS, TIMEOUT, PushClient, PushMessage, PushResponse
from push_server.webpush.response import Outcome, judge
from tests.doubles.http2_sink import Http2Sink


def allow(monkeypatch: pytest.MonkeyPatch, *origins: str) -> None:
    monkeypatch.setenv("HOMING_PUSH_HOSTS", " ".join(origins))
    settings.cache_clear()


@pytest.fixture
def sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Http2Sink]:
    with Http2Sink(tmp_path) as sink:
        allow(monkeypatch, sink.origin)
        yield sink
    settings.cache_clear()


@pytest.fixture
def client(sink: Http2Sink) -> Iterator[PushClient]:
    with PushClient(ca_file=str(sink.ca_file)) as client:
        yield client


def message(url: str, ref: int = 1, body: bytes = b"\x00body\xff") -> PushMessage:
    return PushMessage(ref, url, body, "vapid t=a.b.c,k=d", 60, "high", "topic-1")


def only(answers: Iterator[PushResponse]) -> PushResponse:
    (answer,) = answers
    return answer


def test_what_arrives_is_what_rfc_8030_asks_for(sink: Http2Sink, client: PushClient) -> None:
    answer = only(client.send([message(sink.url("/ok/../1?x=%2f..%2f"), ref=7)]))
    assert answer == PushResponse(7, 201)
    (received,) = sink.received
    assert received.body == b"\x00body\xff"
    assert received.path == "/ok/../1?x=%2f..%2f"
    sent = {name: value for name, value in received.headers.items() if not name.startswith(":")}
    assert sent == {
        "authorization": "vapid t=a.b.c,k=d",
        "ttl": "60",
        "urgency": "high",
        "topic": "topic-1",
        "content-encoding": "aes128gcm",
        "content-type": "application/octet-stream",
        "content-length": "6",
        "user-agent": "Homing",
    }
    assert received.headers[":method"] == "POST"


def test_every_message_has_one_answer_and_connections_outlive_a_call(sink: Http2Sink, client: PushClient) -> None:
    for call in range(3):
        answers = list(client.send(message(sink.url(f"/ok/{call}/{ref}"), ref) for ref in range(400)))
        assert sorted(answer.ref for answer in answers) == list(range(400))
        assert {answer.status for answer in answers} == {201}
    assert len({received.path for received in sink.received}) == len(sink.received) == 1200
    assert sink.connections <= 5  # 256 in flight, 64 on each
    assert not sink.closed


def test_messages_are_under_way_together_and_pulled_only_as_there_is_room(sink: Http2Sink) -> None:
    pulled = 0

    def endless() -> Iterator[PushMessage]:
        nonlocal pulled
        while True:
            pulled += 1
            yield message(sink.url(f"/gate/{pulled}"), pulled)

    sink.gate_opens_at = 100
    with PushClient(ca_file=str(sink.ca_file), in_flight=100) as client:
        answers = client.send(endless())
        assert next(answers).status == 201
        assert sink.most_under_way == 100
        assert pulled <= 100 + 25
        answers.close()  # type: ignore[attr-defined]
        assert only(client.send([message(sink.url("/ok/after"))])).status == 201


def test_many_messages_under_way_are_spread_over_connections(sink: Http2Sink, client: PushClient) -> None:
    sink.gate_opens_at = IN_FLIGHT
    answers = list(client.send(message(sink.url(f"/gate/{ref}"), ref) for ref in range(300)))
    assert {answer.status for answer in answers} == {201}
    assert sink.most_under_way == IN_FLIGHT
    assert sink.most_on_one_connection == STREAMS
    assert sink.connections == IN_FLIGHT // STREAMS


@pytest.mark.parametrize(
    ("path", "seconds", "outcome"),
    [
        ("/busy/7", 7.0, Outcome.THROTTLED),
        ("/busy/Thu,_01_Jan_2026_00:00:00_GMT", 0.0, Outcome.THROTTLED),
        ("/busy/never", None, Outcome.THROTTLED),
        ("/status/503", None, Outcome.RETRY),
    ],
)
def test_retry_after_comes_back(
    sink: Http2Sink, client: PushClient, path: str, seconds: float | None, outcome: Outcome
) -> None:
    answer = only(client.send([message(sink.url(path))]))
    assert answer.retry_after == seconds
    assert judge(answer).outcome is outcome


def test_the_body_of_a_refusal_comes_back(sink: Http2Sink, client: PushClient) -> None:
    answer = only(client.send([message(sink.url("/status/400"))]))
    assert answer.error == '{"reason":"VapidPkHashMismatch"}'
    assert judge(answer).outcome is Outcome.KEY_REJECTED


def test_redirects_are_not_followed(sink: Http2Sink, client: PushClient) -> None:
    answer = only(client.send([message(sink.url("/redirect"))]))
    assert answer.status == 307
    assert judge(answer).outcome is Outcome.FAILED
    assert [received.path for received in sink.received] == ["/redirect"]


def test_a_body_without_end_is_cut_off_and_its_status_counts(sink: Http2Sink, client: PushClient) -> None:
    answer = only(client.send([message(sink.url("/endless"))]))
    assert answer.status == 500
    assert answer.error is not None
    assert len(answer.error) <= 2048
    assert "timed out" not in answer.error
    assert only(client.send([message(sink.url("/ok"))])).status == 201


@pytest.mark.parametrize("path", ["/reset", "/goaway", "/cut"])
def test_a_broken_stream_or_connection_is_one_messages_error(sink: Http2Sink, client: PushClient, path: str) -> None:
    answer = only(client.send([message(sink.url(path))]))
    assert answer.status is None
    assert answer.error
    assert judge(answer).outcome is Outcome.RETRY
    assert only(client.send([message(sink.url("/ok"))])).status == 201


def test_a_lost_connection_loses_no_answer(sink: Http2Sink, client: PushClient) -> None:
    paths = [f"/cut/{n}" if n % 50 == 25 else f"/ok/{n}" for n in range(300)]
    answers = list(client.send(message(sink.url(path), ref) for ref, path in enumerate(paths)))
    assert sorted(answer.ref for answer in answers) == list(range(300))
    assert {answer.status for answer in answers} <= {201, None}
    assert all(answer.status is None for answer in answers if paths[answer.ref].startswith("/cut"))
    accepted = {paths[answer.ref] for answer in answers if answer.status == 201}
    assert accepted <= {received.path for received in sink.received}
    assert accepted


def test_a_refused_stream_goes_again_at_once(sink: Http2Sink, client: PushClient) -> None:
    """REFUSED_STREAM says that nothing was done with the request (RFC 9113 §8.7)."""
    assert only(client.send([message(sink.url("/refuse/1"))])).status == 201


def test_a_service_that_hangs_is_given_up_and_its_connection_not_used_again(sink: Http2Sink) -> None:
    with PushClient(ca_file=str(sink.ca_file), timeout=2) as client:
        began = time.monotonic()
        answers = list(client.send([message(sink.url("/hang"), 1), message(sink.url("/ok"), 2)]))
        assert time.monotonic() - began < TIMEOUT, "it keeps to the time that it was given"
        assert [(answer.ref, answer.status) for answer in answers] == [(2, 201), (1, None)]
        assert answers[1].error is not None
        assert "timed out" in answers[1].error
        before = sink.connections
        assert only(client.send([message(sink.url("/ok"))])).status == 201
        assert sink.connections == before + 1


def test_a_service_that_accepts_no_connection_is_an_error(client: PushClient, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as deaf:  # keeps the port from everybody else, and does not listen
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        allow(monkeypatch, f"https://127.0.0.1:{port}")
        answer = only(client.send([message(f"https://127.0.0.1:{port}/x")]))
    assert answer.status is None
    assert judge(answer).outcome is Outcome.RETRY


def test_an_unknown_certificate_is_an_error(sink: Http2Sink) -> None:
    with PushClient() as client:
        answer = only(client.send([message(sink.url("/ok"))]))
    assert answer.status is None
    assert answer.error is not None
    assert "certificate" in answer.error
    assert not sink.received


def test_a_public_name_that_leads_into_a_private_network_is_not_connected(
    client: PushClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after DNS rebinding: `localhost` stands for a push service's name with a private address behind it."""
    monkeypatch.setattr(guard, "_BUILT_IN", re.compile("localhost"))
    answer = only(client.send([message("https://localhost/x")]))
    assert answer.status is None
    assert answer.error in ("127.0.0.1 is no public address", "::1 is no public address")
    allow(monkeypatch, "https://localhost")
    answer = only(client.send([message("https://localhost/x")]))
    assert answer.error is not None
    assert "public address" not in answer.error


@pytest.mark.parametrize(
    "bad",
    [
        message("https://127.0.0.1:1/not-allowed"),
        message("http://169.254.169.254/latest/meta-data"),
        PushMessage(1, "https://fcm.googleapis.com/x", b"", "vapid t=a\r\nX: y", 60),
    ],
)
def test_what_may_not_be_posted_is_answered_without_a_request(
    sink: Http2Sink, client: PushClient, bad: PushMessage
) -> None:
    answers = list(client.send([bad, message(sink.url("/ok"), 2)]))
    assert [(answer.ref, answer.status) for answer in answers] == [(1, None), (2, 201)]
    assert judge(answers[0]).outcome is Outcome.FAILED


def test_when_the_messages_break_off_what_is_under_way_is_answered_first(sink: Http2Sink, client: PushClient) -> None:
    def broken() -> Iterator[PushMessage]:
        yield message(sink.url("/ok/1"))
        raise LookupError("the next one's key")

    answers = client.send(broken())
    assert next(answers).status == 201
    with pytest.raises(LookupError):
        next(answers)
    assert [received.path for received in sink.received] == ["/ok/1"]
    assert only(client.send([message(sink.url("/ok/2"))])).status == 201


def test_one_call_at_a_time(sink: Http2Sink, client: PushClient) -> None:
    first = client.send(message(sink.url(f"/ok/{ref}"), ref) for ref in range(300))
    next(first)
    with pytest.raises(RuntimeError):
        next(client.send([message(sink.url("/ok"))]))
    assert len(list(first)) == 299


class Plain(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    connections: ClassVar[set[tuple[str, int]]] = set()
    bodies: ClassVar[list[bytes]] = []
    seen: ClassVar[dict[str, str]] = {}

    def do_POST(self) -> None:
        self.connections.add(self.client_address)
        self.seen.update({name.lower(): value for name, value in self.headers.items()})
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response_only(201)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def test_plain_http_1_where_the_operator_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Plain, "connections", set())
    monkeypatch.setattr(Plain, "bodies", [])
    server = ThreadingHTTPServer(("127.0.0.1", 0), Plain)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    origin = f"http://127.0.0.1:{server.server_port}"
    allow(monkeypatch, origin)
    with PushClient(in_flight=20) as client:
        for _ in range(2):
            bodies = [b"%d" % ref for ref in range(200)]
            answers = list(client.send(message(f"{origin}/{ref}", ref, body) for ref, body in enumerate(bodies)))
            assert {answer.status for answer in answers} == {201}
    assert sorted(Plain.bodies) == sorted(bodies * 2)
    assert len(Plain.connections) <= 20
    assert {name: value for name, value in Plain.seen.items() if name not in ("host", "content-length")} == {
        "authorization": "vapid t=a.b.c,k=d",
        "ttl": "60",
        "urgency": "high",
        "topic": "topic-1",
        "content-encoding": "aes128gcm",
        "content-type": "application/octet-stream",
        "user-agent": "Homing",
    }
    server.shutdown()
    server.server_close()
    thread.join()
    settings.cache_clear()
