"""Rows of `event` and `event_body` in PostgreSQL's binary COPY format
(https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format"), packed without a text form in between."""

from struct import Struct

from push_server.customers.identity import Connection
from push_server.events.intake import Item

_HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER = b"\xff\xff"
_NULL = b"\xff\xff\xff\xff"
_EVENT = Struct("!hiiiiiqiq")  # seven fields: kind_id, customer_id, ts, seq, …
_VIEW = Struct("!hiiiiiqiqiiiii")  # the same with value null, product_id, category_id: most of what pages send
_BODY = Struct("!hiqiqi16si")  # seven fields: seq, site_id, message_key, length of message_id, …
_BIGINT = Struct("!iq")
_INTEGER = Struct("!ii")
_JSONB = Struct("!ib")  # length, version

COPY_EVENTS = "copy event (kind_id, customer_id, ts, seq, value, product_id, category_id) from stdin (format binary)"
COPY_BODIES = (
    "copy event_body (seq, site_id, message_key, message_id, properties, context, received_at)"
    " from stdin (format binary)"
)


class Rows:
    """Gathers the rows of one transaction."""

    def __init__(self) -> None:
        self._events: list[bytes] = []
        self._bodies: list[tuple[bytes, bytes]] = []

    def event(self, item: Item, kind: int, customer: int, seq: int, product: int | None, category: int | None) -> None:
        """A row of `event`."""
        if item.value is None and product is not None and category is not None:
            self._events.append(_VIEW.pack(7, 4, kind, 4, customer, 8, item.ts, 8, seq, -1, 4, product, 4, category))
            return
        self._events.append(
            _EVENT.pack(7, 4, kind, 4, customer, 8, item.ts, 8, seq)
            + (_NULL if item.value is None else _BIGINT.pack(8, item.value))
            + (_NULL if product is None else _INTEGER.pack(4, product))
            + (_NULL if category is None else _INTEGER.pack(4, category))
        )

    def body(self, item: Item, site_id: int, seq: int, received: int, *, whole: bool) -> None:
        """A row of `event_body`; it is what makes a message id known.

        Not `whole`: nothing else leads to the row, so it keeps nothing that would have to be found again.
        """
        message_id = (item.message_id if whole and item.message_id else item.key.hex()).encode()
        properties, context = (item.properties, item.context) if whole else (b"{}", None)
        row = (
            _BODY.pack(7, 8, seq, 8, site_id, 16, item.key, len(message_id))
            + message_id
            + _JSONB.pack(len(properties) + 1, 1)
            + properties
            + (_NULL if context is None else _JSONB.pack(len(context) + 1, 1) + context)
            + _BIGINT.pack(8, received)
        )
        self._bodies.append((item.key, row))

    def write(self, conn: Connection) -> None:
        """COPY what was gathered: bodies by key, so that two writers of the same messages never deadlock; events by
        kind and customer, as they begin, so that neighbours in an index come one after the other."""
        bodies = [row for _, row in sorted(self._bodies)]
        for statement, rows in ((COPY_BODIES, bodies), (COPY_EVENTS, sorted(self._events))):
            if rows:
                with conn.cursor() as cursor, cursor.copy(statement) as copy:
                    copy.write(b"".join([_HEADER, *rows, _TRAILER]))
