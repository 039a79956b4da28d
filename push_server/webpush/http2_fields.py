"""The header blocks of HTTP/2 (HPACK, RFC 7541): ours of a request, and what we need of an answer's.

Neither side keeps a table: ours refers to none, and we ask the push service to keep none. So the fixed part of a
request is the same bytes for every message, and the status of an answer can be read without the rest.
"""

from functools import lru_cache
from typing import Final

from hpack import Decoder, Encoder, HPACKError, NeverIndexedHeaderTuple

from push_server.webpush.exchange import Exchange

NO_TABLE: Final = b"\x20"
"""Begins the first block of a connection: this encoder's table is empty for good (RFC 7541 §6.3)."""
MAX_BLOCK: Final = 16384

_POST_HTTPS: Final = b"\x83\x87"
_PATH: Final = b"\x04"
_CONTENT_LENGTH: Final = b"\x0f\x0d"
_TOPIC: Final = b"\x00\x05topic"
_LENGTHS: Final = [b"%c%d" % (len(str(length)), length) for length in range(8192)]
_INDEXED: Final = {0x88: 200, 0x89: 204, 0x8A: 206, 0x8B: 304, 0x8C: 400, 0x8D: 404, 0x8E: 500}
_LITERAL_STATUS: Final = (0x08, 0x48, 0x18)  # without indexing, with it, never indexed


def request_block(exchange: Exchange) -> bytes:
    """The header block of a request."""
    message, origin = exchange.message, exchange.origin
    path = message.endpoint[len(origin) :]
    if not message.endpoint.startswith(origin) or path[0] != "/":  # its origin in capitals, or with the default port
        path = "/" + message.endpoint.split("/", 3)[3]
    length = len(message.body)
    topic = b"" if message.topic is None else _TOPIC + _string(message.topic.encode())
    return b"".join(
        (
            _POST_HTTPS,
            _PATH,
            _string(path.encode()),
            _fixed(origin, exchange.fields),
            topic,
            _CONTENT_LENGTH,
            _LENGTHS[length] if length < 8192 else _string(b"%d" % length),
        )
    )


def _string(value: bytes) -> bytes:
    length = len(value)
    if length < 127:
        return b"%c%b" % (length, value)
    prefix, length = bytearray(b"\x7f"), length - 127
    while length >= 128:
        prefix.append(length & 127 | 128)
        length >>= 7
    prefix.append(length)
    return bytes(prefix) + value


@lru_cache(maxsize=512)
def _fixed(origin: str, fields: tuple[tuple[str, str], ...]) -> bytes:
    encoder = Encoder()
    encoder.header_table_size = 0
    authority = (":authority", origin.removeprefix("https://"))
    block = encoder.encode([NeverIndexedHeaderTuple(*field) for field in (authority, *fields)])
    return block.removeprefix(NO_TABLE)


class Fields:
    """The reader of one connection's header blocks."""

    def __init__(self) -> None:
        self._decoder = Decoder(max_header_list_size=65536)
        self._no_table = False

    def acknowledged(self) -> None:
        """The push service has our settings: from here on it keeps no table, and says so in its next block if it
        ever had one.
        """
        self._decoder.max_allowed_table_size = 0
        if not self._decoder.header_table.dynamic_entries:
            self._decoder.header_table_size = 0
            self._no_table = True

    def read(self, block: bytes) -> tuple[int | None, bytes | None]:
        """The status and the `Retry-After` of a block, each None without one. Where the status is a success, only
        that is looked at. Raises HPACKError: a block that breaks the rules.
        """
        if self._no_table:
            status = _first_status(block)
            if status is not None and 200 <= status < 300:
                return status, None
        found, retry_after = None, None
        try:
            for name, value in self._decoder.decode(block, raw=True):
                if name == b":status":
                    found = int(value) if value.isdigit() and len(value) == 3 else 0
                elif name.lower() == b"retry-after":
                    retry_after = value
        except IndexError as error:
            raise HPACKError(str(error)) from None
        self._no_table = self._decoder.header_table_size == 0
        return found, retry_after


def _first_status(block: bytes) -> int | None:
    """The status, which comes before all else (RFC 9113 §8.3), in the usual forms."""
    if not block:
        return None
    first = block[0]
    if first in _LITERAL_STATUS and len(block) > 1:
        return _literals().get(block[1 : 2 + (block[1] & 0x7F)])
    return _INDEXED.get(first)


@lru_cache(maxsize=1)
def _literals() -> dict[bytes, int]:
    coder = Encoder().huffman_coder
    statuses: dict[bytes, int] = {}
    for status in range(100, 600):
        plain = b"%d" % status
        for flag, value in ((0, plain), (0x80, coder.encode(plain))):
            statuses[bytes([flag | len(value)]) + value] = status
    return statuses
