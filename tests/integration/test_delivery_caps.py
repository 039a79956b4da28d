"""Frequency caps: never more than the shop allows, the more important first, whoever sends at the same moment."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from push_server import clock
from push_server.customers.identity import lock_site
from push_server.db import Database
from push_server.delivery.claim import claim
from push_server.delivery.send import send
from tests.doubles.scripted_push import Answer, ScriptedPush
from tests.integration.sending import Shop, later, lose_redis, push_service, stand, tick, work

HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    shop = Shop.create(db, push)
    cap(shop, {"limit": 1, "within": "1d"})
    return shop


def cap(shop: Shop, *caps: dict[str, Any]) -> None:
    answer = shop.api.patch("/v1/site", json={"caps": list(caps)})
    assert answer.status_code == 200, answer.text


def outcome(shop: Shop, **more: Any) -> tuple[dict[str, int], dict[str, int]]:
    """How a campaign that is sent at once ends."""
    campaign = shop.send(**more)
    return shop.states(campaign), shop.report(campaign)["reasons"]


CAPPED = ({"suppressed": 1}, {"capped": 1})
SENT: tuple[dict[str, int], dict[str, int]] = ({"accepted": 1}, {})


def test_one_a_day_is_one_in_any_day(shop: Shop) -> None:
    shop.customer("ada", "ada")
    assert shop.api.get("/v1/site").json()["caps"] == [{"limit": 1, "within": "1d", "message_class": None}]
    assert outcome(shop) == SENT
    later(DAY - 300)
    assert outcome(shop) == CAPPED
    later(400)
    assert outcome(shop) == SENT
    assert shop.api.patch("/v1/site", json={"caps": None}).json()["caps"] == []
    assert outcome(shop) == SENT


def test_what_caps_pass(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    assert outcome(shop, cap="ignore") == SENT
    assert outcome(shop) == CAPPED, "it was counted all the same"
    campaign = shop.draft(message_class="transactional")
    assert shop.api.get(f"/v1/campaigns/{campaign}").json()["passes"] == ["caps", "quiet_hours"]
    assert outcome(shop, message_class="transactional") == SENT
    assert shop.api.post(f"/v1/campaigns/{campaign}/test", json={"customer": "ada"}).status_code == 202
    work()
    assert push.shown()["ada"] == 3


def test_tests_and_transactional_messages_take_no_place(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    shop.api.post(f"/v1/campaigns/{shop.draft()}/test", json={"customer": "ada"})
    work()
    assert outcome(shop, message_class="transactional") == SENT
    assert outcome(shop) == SENT
    assert push.shown()["ada"] == 3


def test_caps_of_a_class_and_of_all(shop: Shop) -> None:
    shop.customer("ada", "ada")
    cap(shop, {"limit": 1, "within": "1d", "message_class": "news"}, {"limit": 2, "within": "7d"})
    assert outcome(shop, message_class="news") == SENT
    assert outcome(shop, message_class="news") == CAPPED
    assert outcome(shop) == SENT
    assert outcome(shop) == CAPPED


def test_all_browsers_of_a_customer_get_the_one_message(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "phone", "laptop", "tablet")
    push.script["laptop"].append(Answer(503))  # so it comes in a claim of its own, after the others were accepted
    assert outcome(shop) == ({"accepted": 3}, {})


def test_what_was_not_delivered_leaves_its_place(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    push.script["ada"].append(Answer(400))
    assert outcome(shop)[0] == {"failed": 1}
    assert outcome(shop) == SENT


def test_the_more_important_goes_though_the_other_was_first(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    lesser = shop.start({"title": "Lesser", "url": "https://shop.example/"}, priority=100)
    more = shop.start({"title": "More", "url": "https://shop.example/"}, priority=900)
    work("plan")
    [first] = shop.deliveries(lesser)
    with shop.db.session() as session:  # the lesser one's job comes first
        assert claim(session, 1, [int(first["id"])]) is None
    assert shop.states(lesser) == {"queued": 1}
    shop.work_until(lambda: shop.state(more) == "sent" and shop.state(lesser) == "sent")
    assert [arrived.notification["title"] for arrived in push.arrived] == ["More"]
    assert shop.report(lesser)["reasons"] == {"capped": 1}


def test_where_there_is_room_for_both_both_go(shop: Shop, push: ScriptedPush) -> None:
    cap(shop, {"limit": 2, "within": "1d"})
    shop.customer("ada", "ada")
    campaigns = [shop.start(priority=priority) for priority in (100, 900)]
    shop.work_until(lambda: {shop.state(campaign) for campaign in campaigns} == {"sent"})
    assert push.shown() == {"ada": 2}


def test_nobody_waits_for_what_is_paused(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    more = shop.start(priority=900)
    work("plan")
    assert shop.api.post(f"/v1/campaigns/{more}/pause").status_code == 200
    assert outcome(shop, priority=100) == SENT


def test_what_is_paused_between_two_tries_takes_no_place(shop: Shop, push: ScriptedPush) -> None:
    cap(shop, {"limit": 1, "within": "1d"})
    shop.customer("ada", "ada")
    push.script["ada"].append(Answer(503))
    wrong = shop.start()
    work()
    assert shop.states(wrong) == {"retry": 1}
    shop.do(wrong, "pause")
    assert outcome(shop) == SENT
    shop.do(wrong, "resume")
    shop.work_until(lambda: shop.state(wrong) == "sent")
    assert shop.report(wrong)["reasons"] == {"capped": 1}
    assert push.shown() == {"ada": 1}


def put_off(shop: Shop, campaign: str, seconds: int) -> None:
    """Plan its deliveries for later than now."""
    ids = [int(one["id"]) for one in shop.deliveries(campaign)]
    with shop.db.session() as session:
        at = clock.now() + timedelta(seconds=seconds)
        session.raw.execute("update delivery set not_before = %s, due_at = %s where id = any(%s)", [at, at, ids])


def looks_again_in(shop: Shop, campaign: str) -> float:
    """Seconds until its one delivery does."""
    [one] = shop.deliveries(campaign)
    with shop.db.session() as session:
        [(due_at,)] = session.raw.execute("select due_at from delivery where id = %s", [int(one["id"])]).fetchall()
    return float((due_at - clock.now()).total_seconds())


def test_a_wait_ends_with_the_life_of_who_waits(shop: Shop) -> None:
    stand()
    shop.customer("ada", "ada")
    lesser = shop.start(priority=100, ttl=60)
    more = shop.start(priority=900)
    work("plan")
    put_off(shop, more, 3 * HOUR)
    work()
    assert (shop.states(lesser), looks_again_in(shop, lesser)) == ({"queued": 1}, 40), "it may be cancelled meanwhile"
    stand(41)
    tick(shop.db)
    work()
    assert (shop.states(lesser), shop.report(lesser)["reasons"]) == CAPPED
    assert shop.states(more) == {"queued": 1}


def test_who_waits_looks_as_the_more_important_goes_whatever_else_waits(shop: Shop) -> None:
    stand()
    shop.customer("ada", "ada")
    more, lesser, least = shop.start(priority=900), shop.start(priority=500), shop.start(priority=100)
    work("plan")
    put_off(shop, more, 300)
    work()
    assert (looks_again_in(shop, lesser), looks_again_in(shop, least)) == (300, 300)
    put_off(shop, more, 3 * HOUR)
    put_off(shop, least, 40)
    stand(301)
    tick(shop.db)
    work()
    assert looks_again_in(shop, lesser) == 15 * 60, "not when a lesser one goes"


@pytest.mark.parametrize("action", ["pause", "cancel"])
def test_who_waits_goes_when_the_more_important_was_stopped(shop: Shop, action: str) -> None:
    stand()
    shop.customer("ada", "ada")
    lesser, more = shop.start(priority=100), shop.start(priority=900)
    work("plan")
    put_off(shop, more, 3 * HOUR)
    work()
    assert shop.states(lesser) == {"queued": 1}
    shop.do(more, action)
    stand(15 * 60)
    shop.work_until(lambda: shop.state(lesser) == "sent", turns=2)
    assert shop.states(lesser) == {"accepted": 1}


def test_nobody_waits_for_what_is_planned_for_later_than_in_a_day(shop: Shop) -> None:
    stand()
    shop.customer("ada", "ada")
    lesser, more = shop.start(priority=100), shop.start(priority=900)
    work("plan")
    put_off(shop, more, DAY + 1)
    work()
    assert shop.states(lesser) == {"accepted": 1}


def test_a_message_to_two_browsers_counts_once(shop: Shop) -> None:
    cap(shop, {"limit": 2, "within": "1d"})
    shop.customer("ada", "phone", "laptop")
    assert outcome(shop) == ({"accepted": 2}, {})
    assert outcome(shop) == ({"accepted": 2}, {})
    assert outcome(shop) == ({"suppressed": 2}, {"capped": 2})


def half_sent(shop: Shop) -> tuple[str, list[int]]:
    """A campaign to a customer's two browsers, one of which has got it; and the deliveries to the other."""
    shop.customer("ada", "phone", "desk")
    campaign = shop.start()
    work("plan")
    ids = [int(row["id"]) for row in shop.deliveries(campaign)]
    lose_redis()
    send(shop.db, 1, ids[:1])
    assert shop.states(campaign) == {"accepted": 1, "queued": 1}
    return campaign, ids[1:]


def test_who_has_it_on_one_browser_gets_it_on_the_other(shop: Shop, push: ScriptedPush) -> None:
    """Though another message has taken what place there was meanwhile."""
    campaign, left = half_sent(shop)
    assert outcome(shop, cap="ignore") == ({"accepted": 2}, {})
    send(shop.db, 1, left)
    assert shop.states(campaign) == {"accepted": 2}


def test_what_one_browser_has_got_waits_no_more(shop: Shop, push: ScriptedPush) -> None:
    half_sent(shop)
    assert outcome(shop, priority=900) == ({"suppressed": 2}, {"capped": 2})


def test_another_customer_and_another_shop_take_nobodys_place(shop: Shop) -> None:
    shop.customer("ada", "ada")
    assert outcome(shop) == SENT
    shop.customer("bob", "bob")
    assert outcome(shop) == ({"accepted": 1, "suppressed": 1}, {"capped": 1})


def test_who_was_held_out_got_no_message(shop: Shop) -> None:
    shop.customer("ada", "ada")
    assert outcome(shop, holdout_percent=100) == ({"suppressed": 1}, {"holdout": 1})
    assert outcome(shop) == SENT


def test_two_at_the_same_moment_take_one_place(shop: Shop) -> None:
    """Each in a transaction of its own, again and again: never both."""
    names = shop.crowd(12)
    campaigns = [shop.start(), shop.start()]
    work("plan")
    ids = [[int(one["id"]) for one in shop.deliveries(campaign)] for campaign in campaigns]
    taken: list[list[int]] = [[], []]
    start = threading.Barrier(2)

    def take(at: int) -> None:
        for one in ids[at]:
            start.wait(30)
            with shop.db.session() as session:
                chunk = claim(session, at + 1, [one])
            taken[at] += [row.customer_id for row in chunk.rows] if chunk else []

    threads = [threading.Thread(target=take, args=(at,)) for at in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(taken[0] + taken[1]) == len(names)
    assert not set(taken[0]) & set(taken[1])


def test_claims_for_the_same_customer_wait_for_each_other_and_so_do_merges(shop: Shop) -> None:
    ada, bob = (shop.customer(name, name) for name in ("ada", "bob"))
    assert ada >> 25 != bob >> 25, "else both are under one lock"
    cap(shop, {"limit": 2, "within": "1d"})
    for _ in range(2):
        shop.start()
    work("plan")
    with shop.db.session() as session:
        rows = session.raw.execute("select dispatch_id, customer_id, id from delivery").fetchall()
    ids = {(dispatch, customer): id for dispatch, customer, id in rows}
    impatient = "set local lock_timeout = '300ms'"
    with shop.db.session() as first, shop.db.session() as second:
        assert claim(first, 1, [ids[1, ada]]) is not None
        second.raw.execute(impatient)
        assert claim(second, 2, [ids[2, bob]]) is not None
        second.commit()
        second.raw.execute(impatient)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            claim(second, 2, [ids[2, ada]])
        second.rollback()
        second.raw.execute(impatient)
        with pytest.raises(psycopg.errors.LockNotAvailable):
            lock_site(second.raw, shop.site_id, exclusive=True)


@pytest.mark.parametrize(
    ("caps", "path"),
    [
        ([{"limit": 0, "within": "1d"}], "$.caps[0].limit"),
        ([{"limit": 1, "within": "soon"}], "$.caps[0].within"),
        ([{"limit": 1, "within": "400d"}], "$.caps[0].within"),
        ([{"limit": 1, "within": "1d", "message_class": "transactional"}], "$.caps[0].message_class"),
        ([{"limit": 1}], "$.caps[0].within"),
        ([{"limit": 1, "within": "1d"}] * 11, "$.caps"),
    ],
)
def test_no_caps(shop: Shop, caps: list[dict[str, Any]], path: str) -> None:
    answer = shop.api.patch("/v1/site", json={"caps": caps})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, path)
    assert len(shop.api.get("/v1/site").json()["caps"]) == 1


def test_a_message_says_its_class(shop: Shop) -> None:
    body = {"name": "N", "audience": {"include": [shop.segment]}, "message_class": "Not a name"}
    variants = [{"notification": {"title": "T", "url": "https://shop.example/"}}]
    answer = shop.api.post("/v1/campaigns", json={**body, "variants": variants})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "$.message_class")
