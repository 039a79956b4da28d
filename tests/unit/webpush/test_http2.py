"""Our HTTP/2 framing against the h2 library, which judges every byte, and against services that break the rules."""

import struct

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import DataReceived, RequestReceived, StreamEnded, StreamReset
from h2.settings import SettingCodes
from hpack import Encoder
from hypothesis import given
from hypothesis import strategies as st

from push_server.webpush.exchange import MAX_BODY, Exchange
from push_server.webpush.http2 import (
    CONTINUATION,
    DATA,
    GOAWAY,
    HEADERS,
    MAX_TRIES,
    PATIENCE,
    PING,
    PUSH_PROMISE,
    RST_STREAM,
    SETTINGS,
    STREAMS,
    WINDOW_UPDATE,
    Code,
    Http2Connection,
    Http2Error,
    frame,
)
from push_server.webpush.message import PushMessage, fields

HELLO = frame(SETTINGS, 0, 0)
CREATED = b"\x08\x03201"  # :status, a literal that is not indexed


def exchange(ref: int = 1, path: str = "/x", body: bytes = b"body", topic: str | None = None) -> Exchange:
    message = PushMessage(ref, f"https://push.example{path}", body, "vapid t=a.b.c,k=d", 60, topic=topic)
    return Exchange(message, "https://push.example", fields(message), 0.0)


def posted(count: int = 1, body: bytes = b"body") -> tuple[Http2Connection, list[Exchange]]:
    """A connection whose service has said hello, with so many messages under way."""
    connection, exchanges = Http2Connection(), [exchange(ref, body=body) for ref in range(count)]
    connection.receive(HELLO)
    for each in exchanges:
        connection.post(each)
    return connection, exchanges


def answers(connection: Http2Connection) -> list[tuple[int, int | None]]:
    return [(done.message.ref, done.status) for done, _ in connection.answered]


class Service:
    """h2 at the other end of a connection, with what it was told to allow."""

    def __init__(self, window: int = 65535) -> None:
        self.h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: window})
        self.headers: dict[int, dict[str, str]] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: list[int] = []
        self.reset: list[int] = []

    def take(self, connection: Http2Connection) -> None:
        data = b"".join(connection.out)
        connection.out.clear()
        for event in self.h2.receive_data(data):
            if isinstance(event, RequestReceived):
                assert event.headers is not None
                self.headers[event.stream_id] = {str(name): str(value) for name, value in event.headers}
                self.bodies[event.stream_id] = b""
            elif isinstance(event, DataReceived):
                self.bodies[event.stream_id] += event.data or b""
                self.h2.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
            elif isinstance(event, StreamEnded):
                self.ended.append(event.stream_id)
            elif isinstance(event, StreamReset):
                self.reset.append(event.stream_id)


def talk(connection: Http2Connection, service: Service, cut: int = 1 << 20) -> None:
    """Bytes to and fro, at most `cut` at once, until neither has more to say."""
    while True:
        service.take(connection)
        data = service.h2.data_to_send()
        for begin in range(0, len(data), cut):
            connection.receive(data[begin : begin + cut])
        if not data and not connection.out:
            return


@given(
    messages=st.lists(
        st.tuples(
            st.from_regex(r"/[a-z0-9?=%._-]{0,300}", fullmatch=True),
            st.binary(max_size=40) | st.sampled_from([b"y" * 4096, b"z" * 20000]),
            st.none() | st.from_regex(r"[A-Za-z0-9_-]{1,32}", fullmatch=True),
            st.sampled_from([200, 201, 204, 299, 307, 400, 404, 410, 429, 500, 503]),
            st.binary(max_size=30),
        ),
        min_size=1,
        max_size=12,
    ),
    window=st.sampled_from([0, 100, 65535, 1 << 20]),
    cut=st.sampled_from([1, 7, 100, 1 << 20]),
    hello_first=st.booleans(),
)
def test_every_message_arrives_whole_and_its_answer_comes_back(
    messages: list[tuple[str, bytes, str | None, int, bytes]], window: int, cut: int, hello_first: bool
) -> None:
    if not hello_first:  # h2 never opens a window again that was closed while a body was under way
        window = max(window, 65535)
    connection, service = Http2Connection(), Service(window)
    if hello_first:
        talk(connection, service, cut)
    exchanges = [exchange(ref, path, body, topic) for ref, (path, body, topic, _, _) in enumerate(messages)]
    for each in exchanges:
        connection.post(each)
    talk(connection, service, cut)
    if window == 0:
        assert all(not body for body in service.bodies.values())
        service.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 500})
        talk(connection, service, cut)
    assert len(service.ended) == len(messages)
    for stream, (path, body, topic, status, text) in zip(sorted(service.ended), messages, strict=True):
        headers = service.headers[stream]
        assert (headers[":path"], headers.get("topic"), service.bodies[stream]) == (path, topic, body)
        assert headers["content-length"] == str(len(body))
        assert headers["authorization"] == "vapid t=a.b.c,k=d"
        fields = [(":status", str(status)), ("location", f"/m/{stream}"), ("retry-after", str(stream))]
        service.h2.send_headers(stream, fields, end_stream=not text)
        if text:
            service.h2.send_data(stream, text, end_stream=True)
    talk(connection, service, cut)
    assert answers(connection) == [(ref, status) for ref, (_, _, _, status, _) in enumerate(messages)]
    for stream, (each, error) in zip(sorted(service.ended), connection.answered, strict=True):
        answer = each.response(error)
        if each.status is not None and each.status >= 300:
            assert answer.retry_after == stream
            assert answer.error == messages[answer.ref][4].decode("ascii", "replace")
    assert not connection.streams


@given(
    data=st.lists(
        st.builds(
            frame,
            st.integers(0, 11),
            st.integers(0, 255),
            st.sampled_from([0, 1, 2, 3, 5, 7, 2**31 - 1]),
            st.binary(max_size=60) | st.sampled_from([CREATED, b"\x88", bytes(4), bytes(8)]),
        )
        | st.binary(max_size=30),
        max_size=30,
    ).map(b"".join),
    cut=st.sampled_from([1, 5, 1000]),
    large=st.booleans(),
)
def test_whatever_comes_either_counts_or_ends_the_connection(data: bytes, cut: int, large: bool) -> None:
    connection, _ = posted(3, b"x" * (40000 if large else 9))
    try:
        for begin in range(0, len(data), cut):
            connection.receive(data[begin : begin + cut])
    except Http2Error:
        pass
    ended = [done for done, _ in connection.answered]
    assert sorted(each.message.ref for each in [*ended, *connection.again, *connection.streams.values()]) == [0, 1, 2]


def test_a_large_body_waits_for_the_window() -> None:
    connection, _ = posted(3, b"x" * 30000)
    service = Service()
    service.h2.receive_data(b"".join(connection.out))  # nothing is acknowledged
    assert len(b"".join(connection.out)) < 70000
    connection.out.clear()
    for stream, more in ((0, 20000), (0, 20000)):
        connection.receive(frame(WINDOW_UPDATE, 0, stream, struct.pack(">L", more)))
    assert 24000 < len(b"".join(connection.out)) < 25000


def test_an_answer_before_the_whole_message_spares_the_rest() -> None:
    connection, _ = posted(3, b"x" * 30000)
    connection.out.clear()
    connection.receive(frame(HEADERS, 5, 5, CREATED))
    assert answers(connection) == [(2, 201)]
    assert connection.out == [frame(RST_STREAM, 0, 5, bytes(4))]
    connection.out.clear()
    connection.receive(frame(WINDOW_UPDATE, 0, 0, struct.pack(">L", 1 << 20)))
    assert not connection.out


def test_a_farewell_gives_back_what_was_not_looked_at() -> None:
    connection, exchanges = posted(4)
    connection.receive(frame(GOAWAY, 0, 0, struct.pack(">LL", 3, 0)))
    assert connection.again == exchanges[2:]
    assert not connection.has_room()
    connection.receive(frame(HEADERS, 5, 1, CREATED) + frame(HEADERS, 5, 3, CREATED))
    assert answers(connection) == [(0, 201), (1, 201)]


def test_a_message_refused_again_and_again_is_an_error() -> None:
    connection, (each,) = posted()
    for _ in range(MAX_TRIES - 1):
        connection.receive(frame(RST_STREAM, 0, each.stream, struct.pack(">L", ErrorCodes.REFUSED_STREAM)))
        assert connection.again.pop() is each
        connection.post(each)
    connection.receive(frame(RST_STREAM, 0, each.stream, struct.pack(">L", ErrorCodes.REFUSED_STREAM)))
    assert answers(connection) == [(0, None)]


def test_a_service_may_allow_fewer_streams_never_more_than_ours() -> None:
    connection, _ = posted(2)
    assert connection.has_room()
    connection.receive(frame(SETTINGS, 0, 0, struct.pack(">HL", 3, 2)))
    assert not connection.has_room()
    connection.receive(frame(SETTINGS, 0, 0, struct.pack(">HL", 3, 1000)))
    for ref in range(STREAMS - 2):
        assert connection.has_room()
        connection.post(exchange(ref))
    assert not connection.has_room()


def test_interim_answers_padding_priorities_and_unknown_frames_are_read_over() -> None:
    connection, _ = posted()
    connection.receive(frame(HEADERS, 4, 1, b"\x08\x03103") + frame(0x2A, 255, 9, b"?") + frame(2, 0, 1, bytes(5)))
    connection.receive(frame(HEADERS, 4 | 8 | 32, 1, b"\x03" + bytes(5) + b"\x08\x03503" + bytes(3)))
    connection.receive(frame(DATA, 8, 1, b"\x02no" + bytes(2)) + frame(DATA, 1, 1, b"!"))
    ((each, error),) = connection.answered
    assert (each.status, each.body, error) == (503, b"no!", None)


def test_trailers_end_an_answer() -> None:
    connection, _ = posted()
    connection.receive(frame(HEADERS, 4, 1, b"\x08\x03410") + frame(HEADERS, 5, 1, b"\x00\x01a\x01b"))
    assert answers(connection) == [(0, 410)]


def test_a_header_block_in_pieces() -> None:
    connection, _ = posted()
    connection.receive(frame(HEADERS, 1, 1, CREATED[:2]) + frame(CONTINUATION, 0, 1, CREATED[2:3]))
    connection.receive(frame(CONTINUATION, 4, 1, CREATED[3:]))
    assert answers(connection) == [(0, 201)]


@pytest.mark.parametrize("block", [b"", b"\x08\x0399x", b"\x08\x03099", b"\x08\x03101", b"\x00\x01a\x01b"])
def test_an_answer_without_a_status_is_none(block: bytes) -> None:
    connection, _ = posted()
    connection.receive(frame(HEADERS, 4, 1, block))
    assert answers(connection) == [(0, None)]
    assert connection.out[-1] == frame(RST_STREAM, 0, 1, struct.pack(">L", Code.PROTOCOL_ERROR))


def test_a_body_is_read_so_far_and_its_window_never_opens() -> None:
    connection, _ = posted()
    connection.out.clear()
    connection.receive(frame(HEADERS, 4, 1, b"\x08\x03500") + frame(DATA, 0, 1, b"x" * MAX_BODY))
    ((each, _),) = connection.answered
    assert (each.status, len(each.body)) == (500, MAX_BODY)
    assert connection.out == [frame(RST_STREAM, 0, 1, struct.pack(">L", Code.CANCEL))]
    connection.receive(frame(DATA, 0, 1, b"x" * 100))  # was under way
    assert not connection.streams


def test_many_answers_keep_the_connections_window_open() -> None:
    connection, _ = posted(0)
    window, stream = 65535 + (1 << 20) - 65535, 1
    for ref in range(2000):
        connection.post(exchange(ref))
        connection.receive(frame(HEADERS, 4, stream, b"\x08\x03500") + frame(DATA, 1, stream, b"x" * 2000))
        window -= 2000
        updates = [part for part in connection.out if part[3] == WINDOW_UPDATE and len(part) == 13]
        window += sum(int.from_bytes(part[9:], "big") for part in updates)
        connection.out.clear()
        stream += 2
        assert window > 100000
    assert len(connection.answered) == 2000


def test_the_services_table_is_read_until_it_is_given_up() -> None:
    """A service may use its table until it has our settings; then it says that it has none."""
    connection, _ = posted(4)
    encoder = Encoder()
    first, second = (encoder.encode([(":status", "429"), ("retry-after", "5")]) for _ in range(2))
    assert len(second) == 2  # both from the table
    connection.receive(frame(HEADERS, 5, 1, first) + frame(HEADERS, 5, 3, second) + frame(SETTINGS, 1, 0))
    encoder.header_table_size = 0
    for stream in (5, 7):
        connection.receive(frame(HEADERS, 5, stream, encoder.encode([(":status", "429"), ("retry-after", "6")])))
    assert [done.response(error).retry_after for done, error in connection.answered] == [5, 5, 6, 6]


def test_a_service_that_keeps_its_table_is_left() -> None:
    connection, _ = posted(2)
    encoder = Encoder()
    connection.receive(frame(HEADERS, 5, 1, encoder.encode([(":status", "429")])) + frame(SETTINGS, 1, 0))
    with pytest.raises(Http2Error, match="COMPRESSION_ERROR"):
        connection.receive(frame(HEADERS, 5, 3, encoder.encode([(":status", "429")])))


BOMB = b"\x40\x01a\x7f\x81\x1e" + b"x" * 4000 + b"\xbe" * 5000  # a field of 4,000 bytes, named 5,000 times


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(DATA, 1, 0x2A, b"x"), Code.PROTOCOL_ERROR),
        (frame(DATA, 1, 3, b"x"), Code.PROTOCOL_ERROR),
        (frame(HEADERS, 5, 0, CREATED), Code.PROTOCOL_ERROR),
        (frame(HEADERS, 5, 99, CREATED), Code.PROTOCOL_ERROR),
        (frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\x0f"), Code.COMPRESSION_ERROR),
        (frame(HEADERS, 5, 1, b"\x08\x7f"), Code.COMPRESSION_ERROR),
        (frame(HEADERS, 5, 1, BOMB), Code.COMPRESSION_ERROR),
        (frame(HEADERS, 5 | 8, 1, b"\x09" + CREATED), Code.PROTOCOL_ERROR),
        (frame(HEADERS, 5 | 32, 1, b"\x08"), Code.FRAME_SIZE_ERROR),
        (frame(HEADERS, 0, 1, CREATED) + frame(PING, 0, 0, bytes(8)), Code.PROTOCOL_ERROR),
        (frame(CONTINUATION, 4, 1, CREATED), Code.PROTOCOL_ERROR),
        (frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, b"") * PATIENCE, Code.ENHANCE_YOUR_CALM),
        (frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, bytes(9000)) * 2, Code.ENHANCE_YOUR_CALM),
        (frame(PUSH_PROMISE, 4, 1, bytes(4) + CREATED), Code.PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 1), Code.PROTOCOL_ERROR),
        (frame(SETTINGS, 0, 0, bytes(5)), Code.FRAME_SIZE_ERROR),
        (frame(SETTINGS, 1, 0, bytes(6)), Code.FRAME_SIZE_ERROR),
        (frame(SETTINGS, 0, 0, struct.pack(">HL", 4, 2**31)), Code.FLOW_CONTROL_ERROR),
        (frame(SETTINGS, 0, 0) * PATIENCE, Code.ENHANCE_YOUR_CALM),
        (frame(PING, 0, 0, bytes(8)) * PATIENCE, Code.ENHANCE_YOUR_CALM),
        (frame(PING, 0, 0, bytes(7)), Code.FRAME_SIZE_ERROR),
        (frame(PING, 0, 1, bytes(8)), Code.PROTOCOL_ERROR),
        (frame(0x77, 0, 0) * PATIENCE, Code.ENHANCE_YOUR_CALM),
        (frame(HEADERS, 4, 1, b"\x08\x03102") * PATIENCE, Code.ENHANCE_YOUR_CALM),
        (frame(HEADERS, 4, 1, b"\x88") + frame(DATA, 0, 1) * PATIENCE, Code.ENHANCE_YOUR_CALM),
        (frame(WINDOW_UPDATE, 0, 0, bytes(4)), Code.PROTOCOL_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), Code.FLOW_CONTROL_ERROR),
        (frame(WINDOW_UPDATE, 0, 0, bytes(3)), Code.FRAME_SIZE_ERROR),
        (frame(RST_STREAM, 0, 1, bytes(5)), Code.FRAME_SIZE_ERROR),
        (frame(GOAWAY, 0, 0, bytes(7)), Code.PROTOCOL_ERROR),
        (frame(GOAWAY, 0, 1, bytes(8)), Code.PROTOCOL_ERROR),
        (frame(DATA, 0, 1, b"")[:0] + b"\x00\x40\x01\x00\x00\x00\x00\x00\x01", Code.FRAME_SIZE_ERROR),
    ],
)
def test_what_breaks_the_rules_ends_the_connection(data: bytes, code: Code) -> None:
    connection, _ = posted()
    with pytest.raises(Http2Error) as caught:
        connection.receive(data)
    assert caught.value.code is code


@pytest.mark.parametrize(
    "data", [frame(PING, 0, 0, bytes(8)), frame(SETTINGS, 1, 0), b"HTTP/1.1 400 Bad Request\r\n\r\n"]
)
def test_what_does_not_begin_with_settings_is_no_http_2(data: bytes) -> None:
    with pytest.raises(Http2Error):
        Http2Connection().receive(data)


def test_pings_and_settings_are_answered() -> None:
    connection, _ = posted()
    connection.out.clear()
    connection.receive(frame(PING, 0, 0, b"12345678") + frame(PING, 1, 0, b"87654321") + frame(SETTINGS, 0, 0))
    assert connection.out == [frame(PING, 1, 0, b"12345678"), frame(SETTINGS, 1, 0)]


@pytest.mark.parametrize(
    ("endpoint", "path"),
    [
        ("https://push.example/a", "/a"),
        ("HTTPS://Push.Example/A/b?c", "/A/b?c"),
        ("https://push.example:443/a", "/a"),
        ("https://push.example//a//", "//a//"),
    ],
)
def test_an_endpoint_that_writes_its_origin_in_another_way(endpoint: str, path: str) -> None:
    message = PushMessage(1, endpoint, b"", "vapid t=a,k=b", 1)
    connection, service = Http2Connection(), Service()
    connection.post(Exchange(message, "https://push.example", fields(message), 0.0))
    talk(connection, service)
    assert service.headers[1][":path"] == path
    assert service.headers[1][":authority"] == "push.example"
    assert service.headers[1]["content-length"] == "0"
