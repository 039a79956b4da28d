"""Anonymous → known: what a merge moves, what it leaves, and that nothing is lost while it happens."""

import threading
from typing import Any

import psycopg
import pytest

import push_server.tables  # noqa: F401
from push_server.customers.identity import Connection, merge, resolve_customer
from push_server.db import Database
from push_server.sites.service import create_site


@pytest.fixture
def site(db: Database) -> int:
    with db.session() as session:
        create_site(session, "Shop", ["https://shop.example"])
        return session.site_id


def one(conn: Connection, query: str, *values: Any) -> Any:
    row = conn.execute(query, values).fetchone()
    return row[0] if row else None


def test_the_same_ids_give_the_same_customer(db: Database, site: int) -> None:
    with db.connect() as conn:
        anonymous = resolve_customer(conn, site, None, "b1")
        known = resolve_customer(conn, site, "u1", "b1")
        assert resolve_customer(conn, site, None, "b1") == anonymous != known
        assert resolve_customer(conn, site, "u1", None) == known


def test_an_anonymous_customer_becomes_the_new_known_one(db: Database, site: int) -> None:
    with db.connect() as conn:
        anonymous = resolve_customer(conn, site, None, "b1")
        assert merge(conn, site, "b1", "u1") == anonymous
        assert resolve_customer(conn, site, "u1", None) == resolve_customer(conn, site, None, "b1") == anonymous


def test_everything_of_the_anonymous_customer_moves(db: Database, site: int) -> None:
    with db.connect() as conn:
        known, gone = resolve_customer(conn, site, "u1", None), resolve_customer(conn, site, None, "b1")
        kind = one(conn, "insert into term (site_id, what, text) values (%s, 'event', 'X') returning id", site)
        conn.execute("insert into event values (%s, %s, now(), 1)", [kind, gone])
        segments = [
            one(
                conn,
                "insert into segment (site_id, public_id, name, rule, state)"
                " values (%s, gen_random_uuid(), 's', '{}', 'ready') returning id",
                site,
            )
            for _ in range(2)
        ]
        for segment, customer in [(segments[0], known), (segments[0], gone), (segments[1], gone)]:
            conn.execute("insert into segment_member values (%s, %s, now())", [segment, customer])
        conn.execute("delete from change_note")
        dispatch = one(
            conn,
            "insert into dispatch (site_id, campaign_id, is_test, state, include, exclude, message, message_class,"
            " at_most_once, slots, expires_at)"
            " values (%s, 1, false, 'done', '{}', '{}', '{}', 'marketing', false, '[]', now()) returning id",
            site,
        )
        for customer in (known, gone):
            conn.execute(
                "insert into delivery (site_id, dispatch_id, customer_id) values (%s, %s, %s)",
                [site, dispatch, customer],
            )
        conn.execute("update customer set attributes = '{\"a\": 1, \"b\": 1}', time_zone = 'UTC' where id = %s", [gone])
        conn.execute("update customer set attributes = '{\"b\": 2}' where id = %s", [known])

        assert merge(conn, site, "b1", "u1") == known

        assert one(conn, "select customer_id from event") == known
        noted = one(conn, "select array_agg(c order by c) from change_note, unnest(customers) c")
        assert noted == sorted([known, gone]), "who follows from their facts is brought up to date"
        assert one(conn, "select array_agg(customer_id) from delivery") == [known, known]
        assert one(conn, "select attributes from customer where id = %s", known) == {"a": 1, "b": 2}
        assert one(conn, "select time_zone from customer where id = %s", known) == "UTC"
        assert one(conn, "select count(*) from customer") == 1
        assert resolve_customer(conn, site, None, "b1") == known


def test_two_known_customers_are_never_merged(db: Database, site: int) -> None:
    with db.connect() as conn:
        first = merge(conn, site, "shared", "u1")
        second = merge(conn, site, "shared", "u2")
        assert first != second == resolve_customer(conn, site, None, "shared")
        assert resolve_customer(conn, site, "u1", None) == first


def test_ids_are_of_one_site(db: Database, site: int) -> None:
    with db.session() as session:
        create_site(session, "Other", ["https://other.example"])
        other = session.site_id
    with db.connect() as conn:
        assert resolve_customer(conn, site, "u1", None) != resolve_customer(conn, other, "u1", None)


def test_racing_creators_agree_on_one_customer(db: Database, site: int) -> None:
    ids: list[tuple[int, int]] = []
    start = threading.Barrier(8)

    def create() -> None:
        with db.connect() as conn:
            start.wait()
            for number in range(20):
                found = resolve_customer(conn, site, None, f"b{number}")
                conn.commit()
                ids.append((number, found))

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 160
    assert len(set(ids)) == 20
    with db.connect() as conn:
        assert one(conn, "select count(*) from customer") == 20


def test_a_merge_waits_for_writers_and_loses_nothing(db: Database, site: int) -> None:
    with db.connect() as writer, db.connect() as merger:
        resolve_customer(merger, site, "u1", None)
        merger.commit()
        kind = one(writer, "insert into term (site_id, what, text) values (%s, 'event', 'X') returning id", site)
        gone = resolve_customer(writer, site, None, "b1")
        writer.commit()
        resolve_customer(writer, site, None, "b1")  # takes the lock
        writer.execute("insert into event values (%s, %s, now(), 1)", [kind, gone])
        merger.execute("set local lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            merge(merger, site, "b1", "u1")
        merger.rollback()
        writer.commit()
        known = merge(merger, site, "b1", "u1")
        assert one(merger, "select customer_id from event") == known
