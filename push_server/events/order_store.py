"""Orders in the database: facts in, versions of value and lines out (see `orders`, which decides)."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from push_server.customers.identity import Connection
from push_server.events.intake import EPOCH, Item, micros_since_epoch
from push_server.events.orders import (
    Changed,
    Line,
    OrderFact,
    Version,
    dump_document,
    dump_lines,
    load_lines,
    versions,
)
from push_server.events.terms import CATEGORY, PRODUCT, Terms, Wanted

_ORDER_LOCK = 2 << 56
_LOCKS_PER_SITE = 64


class Derived(NamedTuple):
    """An order event with whom and when it is of; `ts` and when it was `received` in microseconds since EPOCH."""

    fact: OrderFact
    customer: int
    ts: int
    seq: int
    item: Item
    received: int


class Stored(NamedTuple):
    """The completions that were new: an order is completed once, whatever comes again under its id.

    `customers` whose orders changed, and the `instants` at which something begins or ends to count for a customer.
    """

    completed: list[Derived]
    customers: set[int]
    instants: set[tuple[int, int]]


class _Order(NamedTuple):
    ref: int
    order_id: str
    customer: int
    ts: int
    value: int
    seq: int
    lines: list[Line]


def derive_orders(conn: Connection, site_id: int, events: Sequence[Derived], terms: Terms) -> Stored:
    """Store the facts and rebuild the versions of the orders they concern."""
    _lock(conn, site_id, {event.fact.order_id for event in events})
    completions: dict[str, Derived] = {}
    for event in events:
        if event.fact.kind == "completed":
            completions.setdefault(event.fact.order_id, event)
    new = _insert_orders(conn, site_id, list(completions.values()))
    changes = [event for event in events if event.fact.kind != "completed"]
    _insert_changes(conn, site_id, changes)
    concerned = sorted(new | {event.fact.order_id for event in changes})
    if not concerned:
        return Stored([], set(), set())
    orders = _read_orders(conn, site_id, concerned)
    if changes:
        refs = [order.ref for order in orders if order.order_id not in new]
        for table in ("order_value", "order_line"):
            conn.execute(f"delete from {table} where order_ref = any(%s)", [refs])  # noqa: S608
    told = _read_changes(conn, site_id, concerned)
    rebuilt = [(order, versions(order.ts, order.value, order.lines, told[order.order_id])) for order in orders]
    _write_versions(conn, site_id, rebuilt, terms)
    edges = {
        (order.customer, edge)
        for order, found in rebuilt
        for version in found
        for edge in (version.since, version.until)
        if edge is not None
    }
    completed = [event for order_id, event in completions.items() if order_id in new]
    return Stored(completed, {order.customer for order in orders}, edges)


def _lock(conn: Connection, site_id: int, order_ids: set[str]) -> None:
    """An order and its cancellation may come at once by two processes: neither must miss the other."""
    conn.execute(
        "select pg_advisory_xact_lock(%s + bucket) from"
        " (select distinct (hashtext(id) & %s)::bigint as bucket from unnest(%s::text[]) as id order by 1) as b",
        [_ORDER_LOCK | site_id * _LOCKS_PER_SITE, _LOCKS_PER_SITE - 1, list(order_ids)],
    )


def _insert_orders(conn: Connection, site_id: int, completions: list[Derived]) -> set[str]:
    if not completions:
        return set()
    rows = conn.execute(
        "insert into orders (site_id, customer_id, order_id, ts, value, currency, lines, seq)"
        " select %s, * from unnest(%s::int[], %s::text[], %s::timestamptz[], %s::bigint[], %s::text[], %s::jsonb[],"
        " %s::bigint[]) on conflict (site_id, order_id) do nothing returning order_id",
        [
            site_id,
            [event.customer for event in completions],
            [event.fact.order_id for event in completions],
            [_instant(event.ts) for event in completions],
            [event.fact.amount for event in completions],
            [event.fact.currency for event in completions],
            [dump_lines(event.fact.lines) for event in completions],
            [event.seq for event in completions],
        ],
    )
    return {row[0] for row in rows}


def _insert_changes(conn: Connection, site_id: int, changes: list[Derived]) -> None:
    if changes:
        conn.execute(
            "insert into order_change (site_id, seq, order_id, kind, ts, amount, lines) select %s, *"
            " from unnest(%s::bigint[], %s::text[], %s::text[], %s::timestamptz[], %s::bigint[], %s::jsonb[])",
            [
                site_id,
                [event.seq for event in changes],
                [event.fact.order_id for event in changes],
                [event.fact.kind for event in changes],
                [_instant(event.ts) for event in changes],
                [event.fact.amount for event in changes],
                [dump_lines(event.fact.lines) for event in changes],
            ],
        )


def _read_orders(conn: Connection, site_id: int, order_ids: list[str]) -> list[_Order]:
    rows = conn.execute(
        "select id, order_id, customer_id, ts, value, seq, lines::text from orders"
        " where site_id = %s and order_id = any(%s)",
        [site_id, order_ids],
    )
    return [
        _Order(ref, order_id, customer, micros_since_epoch(ts), value, seq, load_lines(lines) or [])
        for ref, order_id, customer, ts, value, seq, lines in rows
    ]


def _read_changes(conn: Connection, site_id: int, order_ids: list[str]) -> dict[str, list[Changed]]:
    rows = conn.execute(
        "select order_id, kind, ts, seq, amount, lines::text from order_change"
        " where site_id = %s and order_id = any(%s)",
        [site_id, order_ids],
    )
    found: dict[str, list[Changed]] = defaultdict(list)
    for order_id, kind, ts, seq, amount, lines in rows:
        found[order_id].append(Changed(kind, micros_since_epoch(ts), seq, amount, load_lines(lines)))
    return found


def _write_versions(conn: Connection, site_id: int, rebuilt: list[tuple[_Order, list[Version]]], terms: Terms) -> None:
    values: list[list[Any]] = []
    lines: list[tuple[list[Any], Line]] = []
    for order, found in rebuilt:
        shared = [order.ref, site_id, order.customer, _instant(order.ts)]
        for version in found:
            until = "infinity" if version.until is None else _instant(version.until).isoformat()
            span = [*shared, _instant(version.since), until]
            values.append([*span, version.value, order.seq])
            for line in version.lines:
                lines.append((span, line))
    terms.learn(conn, site_id, line_terms([line for _, line in lines]))
    products, categories = terms.of(site_id, PRODUCT), terms.of(site_id, CATEGORY)
    with conn.cursor() as cursor:
        with cursor.copy(
            "copy order_value (order_ref, site_id, customer_id, ts, since, until, value, seq) from stdin"
        ) as copy:
            for row in values:
                copy.write_row(row)
        if not lines:
            return
        with cursor.copy(
            "copy order_line (order_ref, site_id, customer_id, ts, since, until, product_id, category_id, quantity,"
            " amount, line) from stdin"
        ) as copy:
            for span, line in lines:
                product = None if line.product_id is None else products[line.product_id]
                category = None if line.category is None else categories[line.category]
                copy.write_row([*span, product, category, line.quantity, line.amount, dump_document(line)])


def line_terms(lines: list[Line]) -> Wanted:
    """What the lines need of the dictionary."""
    return {
        PRODUCT: {line.product_id for line in lines if line.product_id is not None},
        CATEGORY: {line.category for line in lines if line.category is not None},
    }


def _instant(ts: int) -> datetime:
    return EPOCH + timedelta(microseconds=ts)
