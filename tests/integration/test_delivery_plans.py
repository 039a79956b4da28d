"""What a chunk reads of the deliveries is its own rows, however large the dispatch is and before any statistics."""

from collections.abc import Iterator

import pytest

from push_server.db import Database, SiteSession
from push_server.delivery.claim import claim, renew
from push_server.delivery.models import DeliveryState
from push_server.delivery.settle import Settlement, write
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import Shop, push_service

OTHERS = 20_000
CHUNK = 500  # fewer might be looked up one by one whatever the statement says


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


def test_a_chunk_is_claimed_renewed_and_settled_by_its_own_rows(db: Database, shop: Shop) -> None:
    customer = shop.customer("ada", "phone")
    shop.start()
    with db.session(site_id=shop.site_id) as session:
        session.raw.execute("alter table delivery set (autovacuum_enabled = off)")
        dispatch = session.raw.execute("select id from dispatch").fetchall()[0][0]
        ids = session.raw.execute(
            "insert into delivery (site_id, dispatch_id, customer_id, subscription_id, due_at)"
            " select %s, %s, %s, number, now() + interval '1 hour' from generate_series(1, %s) number returning id",
            [shop.site_id, dispatch, customer, OTHERS],
        ).fetchall()
    chunk = [id for (id,) in ids[OTHERS // 2 : OTHERS // 2 + CHUNK]]
    with db.session(site_id=shop.site_id) as session:
        claimed = claim(session, dispatch, chunk)
        assert claimed is not None
        assert len(claimed.rows) == CHUNK
        assert _deliveries_read(session) <= 4 * CHUNK
    with db.session(site_id=shop.site_id) as session:
        assert {row.id for row in renew(session, claimed, claimed.rows).rows} == set(chunk)
        assert _deliveries_read(session) <= 4 * CHUNK
    before = _read_so_far(db)
    write(db, shop.site_id, [Settlement(row.id, row.attempts, DeliveryState.ACCEPTED) for row in claimed.rows])
    assert _read_so_far(db) - before <= 4 * CHUNK
    assert shop.report(shop.api.get("/v1/campaigns").json()["data"][0]["id"])["states"]["accepted"] == CHUNK


@pytest.mark.parametrize("analyzed", [False, True])
def test_caps_read_neither_what_is_over_nor_what_is_open_of_others(db: Database, shop: Shop, analyzed: bool) -> None:
    assert shop.api.patch("/v1/site", json={"caps": [{"limit": 9, "within": "7d"}]}).status_code == 200
    for _ in range(3):
        shop.start()
    with db.session(site_id=shop.site_id) as session:
        session.raw.execute("alter table delivery set (autovacuum_enabled = off)")
        now, before, other = (id for (id,) in session.raw.execute("select id from dispatch order by id"))
        ids = _write(session, now, "queued", None, range(CHUNK))
        _write(session, other, "queued", None, range(CHUNK, OTHERS))
        for ago in range(4, 40, 4):
            _write(session, before, "accepted", f"{ago} days", range(CHUNK))
            _write(session, before, "suppressed", None, range(CHUNK))
    if analyzed:
        with db.session() as session:
            session.raw.execute("analyze delivery")
    read = _entries_read(db)
    with db.session(site_id=shop.site_id) as session:
        claimed = claim(session, now, ids)
        assert claimed is not None
        assert len(claimed.rows) == CHUNK
        assert _deliveries_read(session) <= 6 * CHUNK
    assert _entries_read(db) - read <= 6 * CHUNK


def _write(session: SiteSession, dispatch: int, state: str, accepted: str | None, customers: range) -> list[int]:
    """A delivery of each customer, accepted so long ago; their ids."""
    rows = session.raw.execute(
        "insert into delivery (site_id, dispatch_id, customer_id, state, accepted_at, due_at)"
        " select %s, %s, number, %s, now() - %s::interval, now() from generate_series(%s::int, %s::int) number"
        " returning id",
        [session.site_id, dispatch, state, accepted, customers.start, customers.stop - 1],
    )
    return [id for (id,) in rows]


def _entries_read(db: Database) -> int:
    """Of the indexes of deliveries, so far."""
    with db.session() as session:
        session.raw.execute("select pg_stat_force_next_flush()")
    with db.session() as session:
        found = session.raw.execute("select sum(idx_tup_read) from pg_stat_user_indexes where relname = 'delivery'")
        return int(found.fetchall()[0][0])


def _deliveries_read(session: SiteSession) -> int:
    found = session.raw.execute(
        "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables where relname = 'delivery'"
    )
    return int(found.fetchall()[0][0])


def _read_so_far(db: Database) -> int:
    with db.session() as session:
        session.raw.execute("select pg_stat_force_next_flush()")
    with db.session() as session:
        found = session.raw.execute(
            "select seq_tup_read + idx_tup_fetch from pg_stat_user_tables where relname = 'delivery'"
        )
        return int(found.fetchall()[0][0])
