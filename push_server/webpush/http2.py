"""One HTTP/2 connection (RFC 9113) as bytes in and bytes out: no socket, no clock.

Only what a sender of push messages needs: short requests posted whole, answers of which the status counts. Whatever
breaks the rules ends the connection. docs/decisions/0021-own-http2-framing.md says why it is our own.
"""

import struct
from enum import IntEnum
from typing import Final

from hpack import HPACKError

from push_server.webpush.exchange import MAX_BODY, Exchange
from push_server.webpush.http2_fields import MAX_BLOCK, NO_TABLE, Fields, request_block

STREAMS: Final = 64
"""Messages under way on one HTTP/2 connection before another is opened: at a round trip of 50 ms a single one of 128
streams carries 2,400 messages a second, four of 64 carry 5,000."""
MAX_FRAME: Final = 16384
MAX_STREAM: Final = 2**31 - 1
WINDOW: Final = 1 << 20
"""Bytes of responses' bodies that may come unread on a connection."""
PATIENCE: Final = 1000
"""Frames that bring no answer nearer, between two answers. A push service that sends more only keeps us busy."""
MAX_TRIES: Final = 5
"""How often a message is posted when each time the service says that it did nothing with it."""


class Code(IntEnum):
    """Why a stream or a connection ends (RFC 9113 §7)."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


_NOT_UNDERSTOOD: Final = (
    Code.PROTOCOL_ERROR,
    Code.FLOW_CONTROL_ERROR,
    Code.FRAME_SIZE_ERROR,
    Code.COMPRESSION_ERROR,
    Code.INADEQUATE_SECURITY,
    Code.HTTP_1_1_REQUIRED,
)
"""By which a service says that our framing is at fault."""


class Http2Error(Exception):
    """The service broke the protocol; the connection is of no more use."""

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"HTTP/2 {code.name}: {detail}")
        self.code = code


DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
_END_STREAM, _ACK, _END_HEADERS, _PADDED, _PRIORITY = 1, 1, 4, 8, 32
_HEADER_TABLE_SIZE, _ENABLE_PUSH, _MAX_CONCURRENT_STREAMS, _INITIAL_WINDOW_SIZE = 1, 2, 3, 4
_FRAME = struct.Struct(">HBBBL")  # the length's upper 16 bits, its last 8; type; flags; stream


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame."""
    return _FRAME.pack(len(payload) >> 8, len(payload) & 255, kind, flags, stream) + payload


_HELLO: Final = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    + frame(
        SETTINGS,
        0,
        0,
        struct.pack(">HLHLHL", _HEADER_TABLE_SIZE, 0, _ENABLE_PUSH, 0, _INITIAL_WINDOW_SIZE, 2 * MAX_BODY),
    )
    + frame(WINDOW_UPDATE, 0, 0, struct.pack(">L", WINDOW - 65535))
)


class Http2Connection:
    """`post` and `receive` fill `out` (bytes to send), `answered` (an exchange and what went wrong, if anything)
    and `again` (exchanges that the service did nothing with). `leaving`: takes no more messages.

    `disagreement`: how the service and we have misunderstood each other, if so; `has_answered`: whether it ever
    answered a message.
    """

    def __init__(self) -> None:
        self.out: list[bytes] = [_HELLO]
        self.answered: list[tuple[Exchange, str | None]] = []
        self.again: list[Exchange] = []
        self.streams: dict[int, Exchange] = {}
        self.leaving = False
        self.disagreement: str | None = None
        self.has_answered = False
        self._fields = Fields()
        self._next = 1
        self._most = STREAMS
        self._window = 65535
        self._initial_window = 65535
        self._pending: dict[int, Exchange] = {}  # whose bodies flow control holds back
        self._rest = b""
        self._block: tuple[int, int, bytearray] | None = None  # stream, flags and beginning of an unfinished one
        self._greeted = False
        self._idle = 0
        self._unacknowledged = 0
        self._handlers = {
            DATA: self._on_data,
            HEADERS: self._on_headers,
            PRIORITY: self._on_nothing,
            RST_STREAM: self._on_reset,
            SETTINGS: self._on_settings,
            PUSH_PROMISE: self._on_push_promise,
            PING: self._on_ping,
            GOAWAY: self._on_goaway,
            WINDOW_UPDATE: self._on_window_update,
            CONTINUATION: self._on_continuation,
        }

    def has_room(self) -> bool:
        """Whether another message may be posted now."""
        return len(self.streams) < self._most and not self.leaving

    def post(self, exchange: Exchange) -> None:
        """Put a message under way."""
        stream = self._next
        self._next += 2
        if self._next > MAX_STREAM - 2:
            self.leaving = True
        exchange.stream = stream
        exchange.tries += 1
        self.streams[stream] = exchange
        block, body = request_block(exchange), exchange.message.body
        if stream == 1:
            block = NO_TABLE + block
        size, length = len(block), len(body)
        head = _FRAME.pack(size >> 8, size & 255, HEADERS, _END_HEADERS, stream)
        if length <= self._window and length <= self._initial_window and length <= MAX_FRAME and not self._pending:
            self._window -= length
            self.out += (head, block, _FRAME.pack(length >> 8, length & 255, DATA, _END_STREAM, stream), body)
        else:
            self.out += (head, block)
            exchange.offset, exchange.credit = 0, self._initial_window
            self._pending[stream] = exchange
            self._pump()

    def cancel(self, exchange: Exchange, code: Code = Code.CANCEL) -> None:
        """Forget a message under way; the service is told."""
        del self.streams[exchange.stream]
        self._pending.pop(exchange.stream, None)
        self.out.append(frame(RST_STREAM, 0, exchange.stream, struct.pack(">L", code)))

    def receive(self, data: bytes) -> None:
        """Take what has come. Raises Http2Error."""
        try:
            self._receive(data)
        except Http2Error as error:
            self.disagreement = str(error)
            raise

    def _receive(self, data: bytes) -> None:
        if self._rest:
            data = self._rest + data
        position, end = 0, len(data)
        while end - position >= 9:
            high, low, kind, flags, stream = _FRAME.unpack_from(data, position)
            begin = position + 9
            stop = begin + (high << 8 | low)
            if stop - begin > MAX_FRAME:
                raise Http2Error(Code.FRAME_SIZE_ERROR, "a frame larger than we allow")
            if stop > end:
                break
            position = stop
            self._take(kind, flags, stream & MAX_STREAM, data[begin:stop])
        self._rest = data[position:]

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if not self._greeted:
            if kind != SETTINGS or flags & _ACK:
                raise Http2Error(Code.PROTOCOL_ERROR, "not settings first")
            self._greeted = True
        if self._block is not None and (kind != CONTINUATION or stream != self._block[0]):
            raise Http2Error(Code.PROTOCOL_ERROR, "another frame within a header block")
        self._idle += 1
        if self._idle > PATIENCE:
            raise Http2Error(Code.ENHANCE_YOUR_CALM, "too many frames without an answer")
        self._handlers.get(kind, self._on_nothing)(flags, stream, payload)

    def _on_nothing(self, flags: int, stream: int, payload: bytes) -> None:
        """Priorities, and kinds of frames that we do not know."""

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> None:
        self._check_opened(stream)
        if flags & (_PADDED | _PRIORITY):
            payload = _unpadded(flags, payload)
            if flags & _PRIORITY:
                if len(payload) < 5:
                    raise Http2Error(Code.FRAME_SIZE_ERROR, "a priority cut short")
                payload = payload[5:]
        if flags & _END_HEADERS:
            self._on_block(stream, flags, payload)
        else:
            self._block = (stream, flags, bytearray(payload))

    def _on_continuation(self, flags: int, stream: int, payload: bytes) -> None:
        if self._block is None:
            raise Http2Error(Code.PROTOCOL_ERROR, "a continuation of nothing")
        _, first, block = self._block
        block += payload
        if len(block) > MAX_BLOCK:
            raise Http2Error(Code.ENHANCE_YOUR_CALM, "too large a header block")
        if flags & _END_HEADERS:
            self._block = None
            self._on_block(stream, first, bytes(block))

    def _on_block(self, stream: int, flags: int, block: bytes) -> None:
        try:
            status, retry_after = self._fields.read(block)
        except HPACKError as error:
            raise Http2Error(Code.COMPRESSION_ERROR, str(error)) from None
        exchange = self.streams.get(stream)
        if exchange is None:  # that we no longer wait for
            return
        ends = flags & _END_STREAM
        if exchange.status is None:
            if status is None or not 100 <= status < 600 or (status < 200 and ends) or status == 101:
                self._give_up(exchange, "an answer without a status")
                return
            if status < 200:  # the answer is still to come
                return
            exchange.status, exchange.retry_after = status, retry_after
        elif not ends:
            self._give_up(exchange, "a second header block")
            return
        if ends:
            self._finish(exchange)

    def _on_data(self, flags: int, stream: int, payload: bytes) -> None:
        self._check_opened(stream)
        self._unacknowledged += len(payload)
        if self._unacknowledged >= WINDOW // 2:
            self.out.append(frame(WINDOW_UPDATE, 0, 0, struct.pack(">L", self._unacknowledged)))
            self._unacknowledged = 0
        if flags & _PADDED:
            payload = _unpadded(flags, payload)
        exchange = self.streams.get(stream)
        if exchange is None:
            return
        if exchange.status is None:
            self._give_up(exchange, "a body before its status")
            return
        exchange.body += payload
        if flags & _END_STREAM:
            self._finish(exchange)
        elif len(exchange.body) >= MAX_BODY:
            self._give_up(exchange, None)

    def _on_reset(self, _flags: int, stream: int, payload: bytes) -> None:
        self._check_opened(stream)
        _check_size(payload, 4)
        exchange = self.streams.get(stream)
        if exchange is None:
            return
        code, self._idle = int.from_bytes(payload, "big"), 0
        del self.streams[stream]
        self._pending.pop(stream, None)
        if code == Code.REFUSED_STREAM:
            self._post_again(exchange)
        else:
            self.answered.append((exchange, f"the stream was reset: {_name(code)}"))
            if code in _NOT_UNDERSTOOD:
                self._misunderstood(code)

    def _on_settings(self, flags: int, stream: int, payload: bytes) -> None:
        if stream:
            raise Http2Error(Code.PROTOCOL_ERROR, "settings of a stream")
        if flags & _ACK:
            _check_size(payload, 0)
            self._fields.acknowledged()
            return
        if len(payload) % 6:
            raise Http2Error(Code.FRAME_SIZE_ERROR, "settings cut short")
        for name, value in struct.iter_unpack(">HL", payload):
            if name == _MAX_CONCURRENT_STREAMS:
                self._most = min(STREAMS, value)
            elif name == _INITIAL_WINDOW_SIZE:
                if value > MAX_STREAM:
                    raise Http2Error(Code.FLOW_CONTROL_ERROR, "too large a window")
                for exchange in self._pending.values():
                    exchange.credit += value - self._initial_window
                self._initial_window = value
        self.out.append(frame(SETTINGS, _ACK, 0))
        self._pump()

    def _on_push_promise(self, _flags: int, _stream: int, _payload: bytes) -> None:
        raise Http2Error(Code.PROTOCOL_ERROR, "a push that was switched off")

    def _on_ping(self, flags: int, stream: int, payload: bytes) -> None:
        _check_size(payload, 8)
        if stream:
            raise Http2Error(Code.PROTOCOL_ERROR, "a ping of a stream")
        if not flags & _ACK:
            self.out.append(frame(PING, _ACK, 0, payload))

    def _on_goaway(self, _flags: int, stream: int, payload: bytes) -> None:
        if stream or len(payload) < 8:
            raise Http2Error(Code.PROTOCOL_ERROR, "a broken farewell")
        self.leaving = True
        last, code = int.from_bytes(payload[:4], "big") & MAX_STREAM, int.from_bytes(payload[4:8], "big")
        if code in _NOT_UNDERSTOOD:
            self._misunderstood(code)
        for number in [number for number in self.streams if number > last]:
            self._pending.pop(number, None)
            self._post_again(self.streams.pop(number))

    def _on_window_update(self, _flags: int, stream: int, payload: bytes) -> None:
        _check_size(payload, 4)
        more = int.from_bytes(payload, "big") & MAX_STREAM
        if not more:
            raise Http2Error(Code.PROTOCOL_ERROR, "a window that does not open")
        if stream == 0:
            self._window += more
            if self._window > MAX_STREAM:
                raise Http2Error(Code.FLOW_CONTROL_ERROR, "too large a window")
        else:
            self._check_opened(stream)
            exchange = self._pending.get(stream)
            if exchange is not None:
                exchange.credit += more
                if exchange.credit > MAX_STREAM:
                    raise Http2Error(Code.FLOW_CONTROL_ERROR, "too large a window")
        self._pump()

    def _pump(self) -> None:
        """Post what flow control now lets through, the oldest first."""
        for stream, exchange in list(self._pending.items()):
            body = exchange.message.body
            while True:
                size = min(len(body) - exchange.offset, self._window, exchange.credit, MAX_FRAME)
                done = exchange.offset + max(size, 0) == len(body)
                if size <= 0 and not done:
                    break
                part = body[exchange.offset : exchange.offset + size]
                self.out.append(frame(DATA, _END_STREAM if done else 0, stream, part))
                self._idle = 0
                exchange.offset += size
                exchange.credit -= size
                self._window -= size
                if done:
                    del self._pending[stream]
                    break

    def _misunderstood(self, code: int) -> None:
        self.disagreement = f"the service says {_name(code)}"
        if not self.has_answered:
            self.leaving = True

    def _finish(self, exchange: Exchange) -> None:
        self.has_answered = True
        if exchange.stream in self._pending:  # answered before all of it was posted: the rest is not wanted
            self.cancel(exchange, Code.NO_ERROR)
        else:
            del self.streams[exchange.stream]
        self._idle = 0
        self.answered.append((exchange, None))

    def _give_up(self, exchange: Exchange, error: str | None) -> None:
        self.cancel(exchange, Code.CANCEL if error is None else Code.PROTOCOL_ERROR)
        self.answered.append((exchange, error))

    def _post_again(self, exchange: Exchange) -> None:
        if exchange.tries < MAX_TRIES and exchange.status is None:
            self.again.append(exchange)
        else:
            self.answered.append((exchange, "the service refused the stream, and again"))

    def _check_opened(self, stream: int) -> None:
        """A frame of a stream must be of one that we opened: odd, and begun."""
        if not stream & 1 or stream >= self._next:
            raise Http2Error(Code.PROTOCOL_ERROR, "a frame of a stream that nobody opened")


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & _PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise Http2Error(Code.PROTOCOL_ERROR, "more padding than there is room for")
    return payload[1 : len(payload) - payload[0]]


def _check_size(payload: bytes, size: int) -> None:
    if len(payload) != size:
        raise Http2Error(Code.FRAME_SIZE_ERROR, "a frame of the wrong size")


def _name(code: int) -> str:
    return Code(code).name if code in Code._value2member_map_ else str(code)
