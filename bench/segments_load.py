"""The drawn shop in Homing's own tables, as if its API had taken everything in, only faster.

One transaction that begins with TRUNCATE: so COPY may freeze its rows and nothing goes to the log. Indexes are dropped
first and built again afterwards; triggers of foreign keys rest.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import psycopg

from bench.segments_copy import HEADER, TRAILER, Field, big, documents, packed, small_numeric, texts
from bench.segments_data import (
    CATEGORIES,
    KINDS,
    NONE,
    NOW,
    PRODUCTS,
    Ints,
    Shop,
    category_of,
    since_2000,
)

COUNTRIES = ("HU", "DE", "AT", "NO", "SE", "PL", "FR", "IT", "ES", "NL", "CH", "GB")
BODIES = timedelta(days=30)
"""So long free properties are kept, as with a retention rule."""
SUBSCRIBED = 10
"""One customer in so many has a browser subscribed."""
_CHUNK = 500_000
_LOADED = (
    "customer", "customer_alias", "term", "product", "event", "event_body", "orders", "order_value", "order_line",
    "points_lot", "points_value", "tier_change", "subscription",
)  # fmt: skip


def load(conn: psycopg.Connection[Any], site_id: int, shop: Shop) -> None:
    """Fill the tables of a database that holds nothing but this site; commits."""
    with conn.transaction():
        conn.execute("set local session_replication_role = replica")
        conn.execute("set local maintenance_work_mem = '1GB'")
        with _without_indexes(conn):
            conn.execute(f"truncate {', '.join(_LOADED)} cascade")
            loader = _Loader(conn, site_id, shop)
            loader.customers()
            loader.dictionary()
            loader.events()
            loader.orders()
            loader.points()
            loader.subscriptions()
    conn.autocommit = True
    conn.execute("vacuum (analyze)")
    conn.execute("checkpoint")


def customer_ids(numbers: Ints) -> Ints:
    """Internal ids of customers by row number, scrambled as the product's sequence does it."""
    scrambled: Ints = ((numbers + 1) * 1_640_531_527) & 2_147_483_647
    return scrambled


def external_id(number: int) -> str:
    """The shop's own id of a customer."""
    return f"c{number:07d}"


@contextmanager
def _without_indexes(conn: psycopg.Connection[Any]) -> Iterator[None]:
    statement = (
        "select indexname, indexdef from pg_indexes where tablename = any(%s)"
        " and indexname not in (select conname from pg_constraint) order by indexname"
    )
    found = conn.execute(statement, [list(_LOADED)]).fetchall()
    for name, _ in found:
        conn.execute(f"drop index {name}")
    yield
    for _, definition in found:
        conn.execute(definition.replace(" ON ONLY ", " ON "))  # as a partitioned table's index is described


class _Loader:
    def __init__(self, conn: psycopg.Connection[Any], site_id: int, shop: Shop) -> None:
        self.conn, self.site_id, self.shop = conn, site_id, shop
        self.id = customer_ids(np.arange(shop.customers))

    def customers(self) -> None:
        """Known ones; every fifth one's browser is known, too."""
        shop = self.shop
        epoch = datetime(1970, 1, 1, tzinfo=UTC)
        with self.conn.cursor().copy(
            "copy customer (site_id, id, external_id, anonymous_id, attributes, birth_md) from stdin (freeze)"
        ) as copy:
            rows = zip(self.id.tolist(), shop.birthday.tolist(), shop.country.tolist(), strict=True)
            for number, (id, born, country) in enumerate(rows):
                attributes: dict[str, Any] = {"country": COUNTRIES[country], "newsletter": number % 3 == 0}
                attributes["first_name"] = f"Name{number % 997}"
                day = None if born == NONE else epoch + timedelta(days=born)
                if day is not None:
                    attributes["birthday"] = f"{day:%Y-%m-%d}"
                birth_md = "\\N" if day is None else str(day.month * 100 + day.day)
                browser = f"b{number}" if number % 5 == 0 else "\\N"
                copy.write(
                    f"{self.site_id}\t{id}\t{external_id(number)}\t{browser}\t{json.dumps(attributes)}\t{birth_md}\n"
                )
        self.conn.execute("select setval('customer_seq', %s)", [shop.customers])
        self.conn.execute(
            "insert into customer_alias (site_id, anonymous_id, customer_id)"
            " select site_id, anonymous_id, id from customer where anonymous_id is not null"
        )

    def dictionary(self) -> None:
        """Event names, categories and products, numbered one after the other from 1; and the catalogue."""
        names = [("event", name) for name in KINDS] + [("category", name) for name in CATEGORIES]
        names += [("product", product_id(number)) for number in range(PRODUCTS)]
        with self.conn.cursor().copy("copy term (id, site_id, what, text) from stdin") as copy:
            for id, (what, text) in enumerate(names, 1):
                copy.write_row((id, self.site_id, what, text))
        self.conn.execute("select setval(pg_get_serial_sequence('term', 'id'), %s)", [len(names)])
        categories = category_of(np.arange(PRODUCTS))
        with self.conn.cursor().copy(
            "copy product (site_id, product_id, name, category, price, lifespan_days) from stdin"
        ) as copy:
            for number, price in enumerate(self.shop.price.tolist()):
                lifespan = 30 + number % 60 if number % 5 == 0 else None
                text = product_id(number)
                copy.write_row((self.site_id, text, text, CATEGORIES[categories[number]], price / 1e6, lifespan))

    def events(self) -> None:
        """In order of time, with their bodies as long as those are kept."""
        events, number = self.shop.events, self.shop.events.ts.size
        columns = "kind_id, customer_id, ts, seq, value, product_id, category_id"
        self._copy(f"event ({columns})", self._event_parts())
        kept = int(np.searchsorted(events.ts, since_2000(NOW - BODIES)))
        seq = np.arange(kept, number) + 1
        with_product = np.maximum(events.product[kept:], 0)
        made = documents(f'{{"product_id":"{product_id(n)}","price":{n % 97 + 0.5}}}' for n in range(PRODUCTS))
        key = np.random.default_rng(1).bytes(16 * seq.size)
        message = texts(f"m{n:09d}" for n in seq)
        self._copy(
            "event_body (seq, site_id, message_key, message_id, properties, context, received_at)",
            _parts(
                big(seq, 8), self._site(seq), np.frombuffer(key, "V16"), message, made[with_product], None,
                big(events.ts[kept:], 8),
            ),
        )  # fmt: skip
        self.conn.execute("select setval('event_seq', %s)", [number + 1])

    def _event_parts(self) -> Iterator[bytes]:
        events = self.shop.events
        for start in range(0, events.ts.size, _CHUNK):
            rows = np.arange(start, min(start + _CHUNK, events.ts.size))
            has = [(column[rows] != NONE) for column in (events.value, events.product, events.category)]
            pattern = has[0] * 4 + has[1] * 2 + has[2]
            for found in np.unique(pattern):
                chosen = rows[pattern == found]
                yield packed(
                    big(events.kind[chosen] + 1, 4),
                    big(self.id[events.customer[chosen]], 4),
                    big(events.ts[chosen], 8),
                    big(chosen + 1, 8),
                    big(events.value[chosen], 8) if found & 4 else None,
                    big(events.product[chosen] + _product_term(0), 4) if found & 2 else None,
                    big(events.category[chosen] + category_term(0), 4) if found & 1 else None,
                )

    def orders(self) -> None:
        """Orders, their values and lines, each in order of time."""
        shop, orders, lines = self.shop, self.shop.orders, self.shop.lines
        ref = np.arange(orders.ts.size) + 1
        customer, ts, until = big(self.id[orders.customer], 4), big(orders.ts, 8), big(orders.until, 8)
        value, seq, by_time = big(orders.value, 8), big(orders.event + 1, 8), np.argsort(orders.ts)
        self._copy(
            "order_value (order_ref, site_id, customer_id, ts, since, until, value, seq)",
            _parts(*_taken(by_time, big(ref, 8), self._site(ref), customer, ts, ts, until, value, seq)),
        )
        made = documents(
            json.dumps({"product_id": product_id(n), "price": shop.price[n] / 1e6, "quantity": q})
            for n in range(PRODUCTS)
            for q in (1, 2, 3)
        )
        by_time = np.argsort(orders.ts[lines.order], kind="stable")
        fields = (
            big(lines.order + 1, 8), self._site(lines.order), customer[lines.order], ts[lines.order], ts[lines.order],
            until[lines.order], big(lines.product + _product_term(0), 4), small_numeric(lines.quantity),
            big(lines.amount, 8), made[lines.product * 3 + lines.quantity - 1],
        )  # fmt: skip
        columns = "order_ref, site_id, customer_id, ts, since, until, product_id, quantity, amount, line"
        own = lines.own[by_time]
        category = big(category_of(lines.product) + category_term(0), 4)
        parts = [
            packed(*_taken(by_time[own], *fields, category)),
            packed(*_taken(by_time[~own], *fields), None),
        ]
        self._copy(f"order_line ({columns}, category_id)", iter(parts))
        self.conn.execute(
            "insert into orders (id, site_id, customer_id, order_id, ts, value, currency, lines, seq)"
            " overriding system value"
            " select v.order_ref, v.site_id, v.customer_id, 'o' || v.order_ref, v.ts, v.value, 'EUR', l.lines, v.seq"
            " from order_value v join (select order_ref, jsonb_agg(line) as lines from order_line group by order_ref) l"
            " using (order_ref)"
        )
        self.conn.execute("select setval(pg_get_serial_sequence('orders', 'id'), %s)", [ref.size])

    def points(self) -> None:
        """Lots, what is unspent of each, and a tier for each who collects."""
        points, size = self.shop.points, int(self.shop.points.lot.max()) + 1
        lot, site = np.arange(size), self._site(np.arange(size))
        customer = big(self.id[points.customer], 4)
        fields = (
            big(lot + 1, 8), site, customer[:size], texts(f"l{n:08d}" for n in lot), big(points.points[:size], 8),
            big(points.since[:size], 8), big(points.expires[:size], 8),
        )  # fmt: skip
        self._copy("points_lot (id, site_id, customer_id, lot_id, points, earned_at, expires_at)", _parts(*fields))
        self.conn.execute("select setval(pg_get_serial_sequence('points_lot', 'id'), %s)", [size])
        self._copy(
            "points_value (lot_ref, site_id, customer_id, since, until, expires_at, points)",
            _parts(
                big(points.lot + 1, 8), self._site(points.lot), customer, big(points.since, 8), big(points.until, 8),
                big(points.expires, 8), big(points.points, 8),
            ),
        )  # fmt: skip
        self.conn.execute(
            "insert into tier_change (seq, site_id, customer_id, at, tier)"
            " select -row_number() over (), site_id, customer_id, min(earned_at),"
            " (array['bronze', 'silver', 'gold'])[1 + mod(customer_id, 3)] from points_lot"
            " group by site_id, customer_id"
        )

    def subscriptions(self) -> None:
        """Browsers; nothing is sent to them."""
        self.conn.execute(
            "insert into subscription (site_id, public_id, customer_id, endpoint, endpoint_hash, p256dh, auth,"
            " vapid_key_id, state, browser, locale, topics, created_at)"
            " select c.site_id, gen_random_uuid(), c.id, 'https://push.example/' || c.id,"
            " sha256(c.id::text::bytea), ''::bytea, ''::bytea, (select min(id) from vapid_key), 'active',"
            " (array['firefox', 'chrome', 'safari'])[1 + c.id %% 3], 'en', '{sales}', %s from customer c"
            " where c.id %% %s = 0",
            [NOW - timedelta(days=60), SUBSCRIBED],
        )

    def _site(self, like: Ints) -> Field:
        return big(np.full(like.size, self.site_id), 8)

    def _copy(self, table: str, parts: Iterator[bytes]) -> None:
        freeze = "" if table.startswith("event (") else ", freeze"  # partitioned tables take no frozen rows
        with self.conn.cursor().copy(f"copy {table} from stdin (format binary{freeze})") as copy:
            copy.write(HEADER)
            for part in parts:
                copy.write(part)
            copy.write(TRAILER)


def _parts(*fields: Field) -> Iterator[bytes]:
    size = next(field.size for field in fields if field is not None)
    for start in range(0, size, _CHUNK):
        yield packed(*_taken(slice(start, start + _CHUNK), *fields))


def _taken(rows: Any, *fields: Field) -> list[Field]:
    return [None if field is None else field[rows] for field in fields]


def product_id(number: int) -> str:
    """The shop's own id of a product."""
    return f"p{number:04d}"


def category_term(number: int) -> int:
    """The dictionary id of a category."""
    return len(KINDS) + number + 1


def _product_term(number: int) -> int:
    return len(KINDS) + len(CATEGORIES) + number + 1
