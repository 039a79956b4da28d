"""A campaign to a segment whose members are still being found goes to all of them, later."""

from collections.abc import Iterator

import pytest
from sqlmodel import select

from push_server import clock
from push_server.audiences import backfill
from push_server.audiences.models import Backfill, Segment, SegmentState
from push_server.audiences.waiting import begin
from push_server.db import Database
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.sending import Shop, later, push_service, tick, work


@pytest.fixture
def push(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


def make_pending(shop: Shop) -> None:
    """As after an edit of a rule that takes long."""
    with shop.db.session(site_id=shop.site_id) as session:
        segment = session.exec(select(Segment)).one()
        segment.state = SegmentState.PENDING
        begin(session, segment)


def test_it_waits_before_it_is_planned(shop: Shop, push: ScriptedPush, db: Database) -> None:
    names = shop.crowd(7)
    make_pending(shop)
    campaign = shop.start()
    for _ in range(3):
        work()
        later(2)
        tick(db)
        assert shop.report(campaign)["audience"] == 0
        assert shop.state(campaign) == "sending"
    while backfill.tick(db):
        pass
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == dict.fromkeys(names, 1)


def test_it_is_paused_and_says_why_where_they_cannot_be_found(shop: Shop, push: ScriptedPush, db: Database) -> None:
    shop.crowd(2)
    make_pending(shop)
    campaign = shop.start()
    with db.session(site_id=shop.site_id) as session:
        segment = session.exec(select(Segment)).one()
        segment.state = SegmentState.FAILED
        found = session.exec(select(Backfill)).one()
        found.problem = {"code": "rule_too_slow", "detail": "It takes too long.", "since": clock.rfc3339(clock.now())}
        session.add_all([segment, found])
    work()
    tick(db)
    told = shop.api.get(f"/v1/campaigns/{campaign}").json()
    assert told["state"] == "paused"
    assert "“Everybody” could not be found. It takes too long." in told["problem"]
    make_pending(shop)
    assert shop.do(campaign, "resume")["problem"] is None
    tick(db)
    assert shop.state(campaign) == "sending"
    while backfill.tick(db):
        pass
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == {"c0": 1, "c1": 1}


def test_who_is_planned_has_not_left_while_members_are_found_anew(shop: Shop, push: ScriptedPush, db: Database) -> None:
    names = shop.crowd(3)
    campaign = shop.start()
    work("plan")
    make_pending(shop)
    with db.session(site_id=shop.site_id) as session:
        session.raw.execute("delete from segment_member")  # as when the first slices find none of them
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == dict.fromkeys(names, 1)
