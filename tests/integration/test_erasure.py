"""A customer is erased in every table there is, whatever tables come later, and nobody else notices."""

import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from push_server import clock
from push_server.events import retention
from push_server.sites.models import Site
from tests.integration.ingest import NOW, Shop, shop

__all__ = ["shop"]

SECRETS = ("ada-7c1f", "browser-of-ada", "ada's own words", "m-ada", "pushed-to-ada", "order-ada", "never came ada")

TABLES = """
select c.relname from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'customer_id'
where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not c.relispartition order by 1
"""
COLUMNS = """
select a.attname, format_type(a.atttypid, null), f.confrelid::regclass::text, (
    select r.attname from pg_attribute r where r.attrelid = f.confrelid and r.attnum = f.confkey[1])
from pg_attribute a
left join pg_constraint f on f.conrelid = a.attrelid and f.contype = 'f' and f.conkey = array[a.attnum]
where a.attrelid = %s::regclass and a.attnum > 0 and not a.attisdropped and a.attnotnull
  and not a.atthasdef and a.attidentity = ''
"""
MADE_UP = {"text": "'of {name}'", "character varying": "'of {name}'", "timestamp with time zone": "now()"}
MADE_UP |= {
    "jsonb": "'{{}}'",
    "boolean": "true",
    "bytea": "'\\x00'",
    "uuid": "gen_random_uuid()",
    "text[]": "'{{}}'",
    "bigint[]": "'{{}}'",
    "integer[]": "'{{}}'",
}


def live(shop: Shop, name: str, words: str, *, anonymous: bool = False) -> int:
    """A customer with a past in every table."""
    user, browser, order = f"{name}-7c1f", f"browser-of-{name}", f"order-{name}"
    who = {"anonymousId": browser} if anonymous else {"userId": user}
    context = {"context": {"page": {"title": words}}}
    secret = {"key": shop.secret_key}
    told: list[dict[str, Any]] = [
        {"type": "page", "anonymousId": browser, "messageId": f"m-{name}-0", "properties": {"name": words}},
        {"type": "identify", "anonymousId": browser, **who, "messageId": f"m-{name}-1",
         "traits": {"w": words}},
        {"type": "track", **who, "event": "Seen", "properties": {"said": words}},
        *(
            {"type": "track", **who, "event": "Order Completed", "messageId": f"m-{name}-{again}",
             "properties": {"order_id": order, "total": 5, "note": words,
                            "products": [{"product_id": "p", "price": 5, "quantity": 1, "note": words}]}}
            for again in "23"
        ),
        {"type": "track", **who, "event": "Order Refunded", "messageId": f"m-{name}-4",
         "properties": {"order_id": order, "total": 1, "note": words}},
        {"type": "track", **who, "event": "Order Refunded", "messageId": f"m-{name}-5",
         "properties": {"order_id": f"never came {name}", "note": words}},
        {"type": "track", **who, "event": "Loyalty Tier Changed", "properties": {"tier": f"of {name}"}},
    ]  # fmt: skip
    answer = shop.post("batch", {"batch": told, **context}, **secret)
    assert answer.status_code == 200, answer.text
    work_off_notes(shop)
    him = int(shop.rows("select id from customer where anonymous_id = %s", browser)[0][0])
    with shop.db.connect() as conn:
        for (table,) in conn.execute(TABLES).fetchall():
            if not conn.execute(f"select 1 from {table} where customer_id = %s", [him]).fetchall():
                fill(conn, table, him, name)
        conn.execute(
            "update subscription set endpoint = %s where customer_id = %s", [f"https://push/pushed-to-{name}", him]
        )
        conn.execute(
            "insert into receipt (delivery_id, kind, at) select id, 'shown', now() from delivery"
            " where customer_id = %s",
            [him],
        )
    return him


def work_off_notes(shop: Shop) -> None:
    """As the scheduler does five times a second."""
    assert shop.client.get("/v1/segments").status_code == 200


def fill(conn: psycopg.Connection, table: str, him: int, name: str) -> None:
    """A row that the table's own columns allow; what it refers to is his where that can be."""
    given: dict[str, str] = {}
    for column, kind, referred, key in conn.execute(COLUMNS, [table]).fetchall():
        if column == "customer_id":
            given[column] = str(him)
        elif column == "site_id":
            given[column] = "(select min(id) from site)"
        elif referred:
            own = conn.execute(
                "select 1 from pg_attribute where attrelid = %s::regclass and attname = 'customer_id'", [referred]
            ).fetchall()
            whose = f" where customer_id = {him}" if own else ""
            if not conn.execute(f"select 1 from {referred}{whose}").fetchall():
                fill(conn, referred, him, name)
            given[column] = f"(select min({key}) from {referred}{whose})"
        else:
            given[column] = MADE_UP.get(kind, "1 + (random() * 30000)::int").format(name=name)
    if table == "subscription":
        given["endpoint_hash"] = f"'{name}'"
    columns, values = ", ".join(given), ", ".join(given.values())
    conn.execute(f"insert into {table} ({columns}) values ({values})")


def traces(shop: Shop, him: int, texts: tuple[str, ...]) -> list[str]:
    """The tables with a row that has his number or one of the texts."""
    tables = shop.rows("select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace")
    words = "|".join([rf"\m{him}\M", *texts])
    return [table for (table,) in tables if shop.rows(f"select 1 from {table} t where t::text ~ %s", words)]


def rows_of(shop: Shop, him: int) -> dict[str, list[Any]]:
    return {
        table: shop.rows(f"select t::text from {table} t where customer_id = %s order by 1", him)
        for (table,) in shop.rows(TABLES)
    }


@pytest.fixture
def two(shop: Shop) -> tuple[int, int]:
    clock.set_source(lambda: NOW)
    headers = {"Authorization": f"Bearer {shop.secret_key}"}
    shop.client.headers.update(headers)
    best = {"rank": {"by": {"event": "Seen", "within": "1d"}, "top_percent": 50}}
    for name, node in (("Seen", {"event": "Seen"}), ("Late", {"order_gap": {"ratio": {"gt": 2}}}), ("Best", best)):
        rule = {"version": 1, "where": node}
        assert shop.client.post("/v1/segments", json={"name": name, "rule": rule}).status_code == 201
    ada, bob = live(shop, "ada", "ada's own words"), live(shop, "bob", "what bob said")
    return ada, bob


def test_nothing_of_the_one_and_everything_of_the_other_stays(shop: Shop, two: tuple[int, int]) -> None:
    ada, bob = two
    assert len(traces(shop, ada, SECRETS)) > 10
    before, bodies = rows_of(shop, bob), "select t::text from event_body t where t::text like '%%bob%%' order by 1"
    of_bob = shop.rows(bodies)
    changes = shop.rows("select count(*) from order_change where order_id like '%%bob'")
    assert all(before.values())
    assert shop.client.delete("/v1/customers/ada-7c1f").status_code == 204
    left = {"change_note", "segment_member", "customer_worth"}
    assert set(traces(shop, ada, SECRETS)) == left, "numbers alone, of nobody any more"
    work_off_notes(shop)
    assert traces(shop, ada, SECRETS) == []
    assert rows_of(shop, bob) == before
    assert shop.rows(bodies) == of_bob
    assert shop.rows("select count(*) from order_change where order_id like '%%bob'") == changes == [(2,)]
    assert shop.client.delete("/v1/customers/ada-7c1f").status_code == 404


def test_somebody_without_a_name_is_erased_by_his_browsers_id(shop: Shop, two: tuple[int, int]) -> None:
    _ada, bob = two
    eve = live(shop, "eve", "what eve said", anonymous=True)
    before, secrets = rows_of(shop, bob), ("browser-of-eve", "what eve said", "m-eve", "order-eve", "never came eve")
    assert len(traces(shop, eve, secrets)) > 10
    told = shop.client.delete("/v1/customers", params={"anonymous_id": "browser-of-bob"})
    assert (told.status_code, told.json()["code"]) == (409, "customer_is_known")
    assert shop.client.delete("/v1/customers", params={"anonymous_id": "browser-of-eve"}).status_code == 204
    work_off_notes(shop)
    assert traces(shop, eve, secrets) == []
    assert rows_of(shop, bob) == before
    assert shop.client.delete("/v1/customers", params={"anonymous_id": "browser-of-eve"}).status_code == 404


def test_what_was_kept_of_deleted_events_goes_too(shop: Shop, two: tuple[int, int]) -> None:
    ada, bob = two
    with shop.db.session() as session:
        site = session.get_one(Site, shop.site_id)
        site.settings = {**site.settings, "retention": {"default": "2d", "events": {}}}
    later = NOW + timedelta(days=40)
    clock.set_source(lambda: later)
    work_off_notes(shop)
    retention.plan(shop.db)
    clock.set_source(lambda: later + retention.NOTICE)
    assert retention.work(shop.db) >= 4
    kept = "select sum(many) from event_rollup where property = '' and customer_id = %s and site_id = %s"
    assert shop.rows(kept, ada, shop.site_id)[0][0] >= 2
    assert shop.client.delete("/v1/customers/ada-7c1f").status_code == 204
    work_off_notes(shop)
    assert traces(shop, ada, SECRETS) == []
    assert shop.rows(kept, bob, shop.site_id)[0][0] >= 2


def test_an_old_message_sent_again_does_not_bring_him_back(shop: Shop, two: tuple[int, int]) -> None:
    shop.client.delete("/v1/customers/ada-7c1f")
    track = {"type": "track", "userId": "ada-7c1f", "event": "Order Completed", "messageId": "m-ada-2"}
    identify = {"type": "identify", "userId": "ada-7c1f", "anonymousId": "browser-of-ada", "messageId": "m-ada-1"}
    again = [{**track, "properties": {"order_id": "order-ada", "total": 5}}, {**identify, "traits": {"w": 1}}]
    assert shop.post("batch", {"batch": again}, shop.secret_key).status_code == 200
    assert shop.rows("select 1 from customer where external_id = 'ada-7c1f'") == []
    shop.send("track", {"userId": "ada-7c1f", "event": "Seen", "messageId": "new"})
    found = shop.client.get("/v1/customers/ada-7c1f/timeline").json()["data"]
    assert [event["message_id"] for event in found] == ["new"]


def test_segments_follow(shop: Shop, two: tuple[int, int]) -> None:
    clock.set_source(lambda: NOW.replace(minute=1))
    segment = shop.client.get("/v1/segments").json()["data"][0]
    assert segment["size"] == 2
    shop.client.delete("/v1/customers/ada-7c1f")
    clock.set_source(lambda: NOW.replace(minute=2))
    assert shop.client.get(f"/v1/segments/{segment['id']}").json()["size"] == 1


def test_writers_wait_and_then_write_for_somebody_new(shop: Shop, two: tuple[int, int]) -> None:
    """Events keep coming while he is erased: each is either gone with him, or of a new customer of the same name."""
    ada, _ = two
    codes: list[int] = []

    def keep_sending() -> None:
        for number in range(60):
            answer = shop.post("track", {"userId": "ada-7c1f", "event": "Seen", "messageId": f"late {number}"})
            codes.append(answer.status_code)

    threads = [threading.Thread(target=keep_sending) for _ in range(2)]
    for thread in threads:
        thread.start()
    erased = [shop.client.delete("/v1/customers/ada-7c1f").status_code for _ in range(10)]
    for thread in threads:
        thread.join()
    assert set(codes) == {200}
    assert 204 in erased
    assert set(erased) <= {204, 404}
    assert shop.rows("select 1 from event where customer_id = %s", ada) == []
    assert shop.rows("select 1 from event e left join customer c on c.id = e.customer_id where c.id is null") == []


def test_a_message_stays_known_though_two_customers_of_it_are_erased(shop: Shop) -> None:
    """One who returned another one's order: the return is of both."""
    order = {"order_id": "o", "total": 5}
    shop.send("track", {"userId": "bob", "event": "Order Completed", "messageId": "m-1", "properties": order})
    refund = {"userId": "ada", "event": "Order Refunded", "messageId": "m-2", "properties": order}
    shop.send("track", refund)
    for name in ("ada", "bob"):
        headers = {"Authorization": f"Bearer {shop.secret_key}"}
        assert shop.client.delete(f"/v1/customers/{name}", headers=headers).status_code == 204
    shop.send("track", refund)
    assert shop.rows("select 1 from event union all select 1 from order_change") == []
    assert len(shop.rows("select 1 from event_body")) == 2


def test_the_export_has_every_table_of_his_and_nobody_elses(shop: Shop, two: tuple[int, int]) -> None:
    told = shop.client.get("/v1/customers/ada-7c1f/export")
    assert told.status_code == 200
    assert "bob" not in told.text
    document = told.json()
    assert document["customer"]["external_id"] == "ada-7c1f"
    assert {"Seen", "Page Viewed", "Order Completed"} <= {event["event"] for event in document["events"]}
    assert {event["context"]["page"]["title"] for event in document["events"]} == {"ada's own words"}
    empty = [table for (table,) in shop.rows(TABLES) if table != "event" and not document["tables"].get(table)]
    assert empty == []
    assert len(document["tables"]["order_change"]) == 1
    assert len(document["tables"]["receipt"]) == 1
