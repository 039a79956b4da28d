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
