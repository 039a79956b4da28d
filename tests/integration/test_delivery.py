"""Sending: what each answer of a push service does, retries, and what is checked at the last moment."""

from collections.abc import Iterator
from datetime import timedelta

import pytest
from sqlalchemy import text

from push_server import clock
from push_server.db import Database
from push_server.delivery import plan, service
from push_server.settings import settings
from tests.doubles.scripted_push import Answer, ScriptedPush
from tests.integration.sending import Shop, later, lose_redis, push_service, stand, tick, work


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    return Shop.create(db, push)


def test_each_subscription_gets_the_rendered_message_once(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada-phone", "ada-laptop", first_name="Áda")
    shop.customer("bob")
    stand()
    campaign = shop.send(
        {
            "title": "{{ customer.first_name | default: 'You' }} 🐦",
            "body": "from {{ site.name }}",
            "url": "https://shop.example/?who={{ customer.external_id }}",
            "actions": [{"action": "buy", "title": "Buy", "url": "https://shop.example/buy"}],
            "require_interaction": True,
            "data": {"who": "{{ customer.external_id }}", "n": 1},
        },
        urgency="high",
        ttl=600,
    )
    assert push.refused == []
    assert push.shown() == {"ada-phone": 1, "ada-laptop": 1}
    for arrived in push.arrived:
        shown = arrived.notification
        assert arrived.payload["web_push"] == 8030
        assert (shown["title"], shown["body"]) == ("Áda 🐦", "from Shop")
        assert shown["navigate"] == "https://shop.example/?who=ada"
        assert shown["actions"] == [{"action": "buy", "title": "Buy", "navigate": "https://shop.example/buy"}]
        assert shown["requireInteraction"] is True
        assert shown["data"]["who"] == "ada"
        assert shown["data"]["homing"]["api"] == "https://push.example"
        assert arrived.headers["urgency"] == "high"
        assert arrived.headers["ttl"] == "600"
        assert arrived.headers["topic"] == shown["tag"]
    assert len({arrived.notification["tag"] for arrived in push.arrived}) == 2
    report = shop.report(campaign)
    assert report["audience"] == 3
    assert (report["states"]["accepted"], report["states"]["suppressed"]) == (2, 1)
    assert report["reasons"] == {"no_subscription": 1}


@pytest.mark.parametrize(
    ("status", "reason", "left"),
    [
        (410, "gone", "gone"),
        (404, "gone", "gone"),
        (401, "vapid_rejected", "active"),
        (403, "vapid_rejected", "active"),
        (413, "too_large", "active"),
        (400, "push_service_error", "active"),
    ],
)
def test_a_final_refusal(shop: Shop, push: ScriptedPush, status: int, reason: str, left: str) -> None:
    shop.customer("ada", "ada")
    push.script["ada"].append(Answer(status))
    campaign = shop.send()
    [delivery] = shop.deliveries(campaign)
    assert (delivery["state"], delivery["reason"], delivery["status_code"]) == ("failed", reason, status)
    assert shop.api.get("/v1/subscriptions").json()["data"][0]["state"] == left
    assert push.asked["ada"] == 1


def test_passing_trouble_is_tried_again_as_the_same_message(shop: Shop, push: ScriptedPush) -> None:
    names = shop.crowd(3)
    push.script["c0"].extend([Answer(503), Answer(500)])
    push.script["c1"].append(Answer(reset=True))
    campaign = shop.send()
    assert push.shown() == dict.fromkeys(names, 1)
    assert (push.asked["c0"], push.asked["c1"], push.asked["c2"]) == (3, 2, 1)
    assert shop.states(campaign) == {"accepted": 3}
    assert shop.report(campaign)["reasons"] == {}


def test_a_retry_keeps_tag_topic_and_token(shop: Shop, push: ScriptedPush, db: Database) -> None:
    shop.customer("ada", "ada")
    campaign = shop.start()
    work()
    with db.session() as session:  # as though the worker had died before it could write the result
        session.sql(text("update delivery set state = 'sending', due_at = updated_at + interval '30 s'"))
    later(31)
    tick(db)
    work()
    first, second = push.arrived
    assert first.notification == second.notification
    assert first.headers["topic"] == second.headers["topic"]
    assert shop.states(campaign) == {"accepted": 1}


def test_retry_after_is_kept(shop: Shop, push: ScriptedPush, db: Database) -> None:
    shop.customer("ada", "ada")
    push.script["ada"].append(Answer(429, retry_after=40))
    campaign = shop.start()
    stand()
    work()
    assert shop.states(campaign) == {"retry": 1}
    stand(39)
    tick(db)
    work()
    assert push.asked["ada"] == 1
    stand(8)
    tick(db)
    work()
    assert shop.states(campaign) == {"accepted": 1}


def test_nothing_is_posted_after_its_ttl(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    push.script["ada"].extend([Answer(503)] * 20)
    campaign = shop.send(ttl=30)
    [delivery] = shop.deliveries(campaign)
    assert (delivery["state"], delivery["reason"]) == ("expired", "too_late")
    assert 2 <= push.asked["ada"] <= 6


def test_what_waited_longer_than_its_ttl_expires(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    campaign = shop.start(ttl=30)
    later(31)
    work()
    assert shop.report(campaign)["reasons"] == {"too_late": 1}
    assert push.asked["ada"] == 0


def test_ttl_zero_is_sent_now_or_never(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    shop.send(ttl=0)
    assert push.arrived[0].headers["ttl"] == "0"


def test_the_truth_is_checked_when_sending(shop: Shop, push: ScriptedPush, db: Database) -> None:
    shop.crowd(4)
    campaign = shop.start()
    work("plan")
    with db.session() as session:
        for statement in (
            "update subscription set state = 'unsubscribed' where endpoint like '%/c0'",
            "update subscription set state = 'gone' where endpoint like '%/c1'",
            # someone else has logged in on this browser
            "update subscription set customer_id = (select id from customer where external_id = 'c3')"
            " where endpoint like '%/c2'",
        ):
            session.sql(text(statement))
    work()
    reasons = {row["customer"]: row["reason"] for row in shop.deliveries(campaign)}
    assert reasons == {"c0": "unsubscribed", "c1": "gone", "c2": "unsubscribed", "c3": None}
    assert push.shown() == {"c3": 1}


def test_a_render_error_suppresses_that_delivery_only(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada", points=7)
    shop.customer("bob", "bob")
    shop.customer("eve", "eve", points="1e999")
    campaign = shop.send({"title": "{{ customer.points | round }} points", "url": "https://shop.example/"})
    assert push.shown() == {"ada": 1}
    assert shop.report(campaign)["reasons"] == {"render_error": 2}


def test_what_does_not_fit_is_suppressed(shop: Shop, push: ScriptedPush) -> None:
    shop.customer("ada", "ada")
    campaign = shop.send({"title": "T", "body": "x" * 3990, "url": "https://shop.example/"})
    assert shop.report(campaign)["reasons"] == {"too_large": 1}
    assert push.asked == {}


@pytest.mark.parametrize(("stock", "sent"), [(3, True), (None, True), (0, False)])
def test_the_stock_guard(shop: Shop, push: ScriptedPush, stock: int | None, sent: bool) -> None:
    shop.customer("ada", "ada")
    product = {"product_id": "p1", "name": "Bone", "price": 2.50, "stock": stock}
    assert shop.api.put("/v1/products", json={"products": [product]}).status_code == 200
    text = {"title": "{{ product.name }} for {{ product.price }}", "url": "https://shop.example/"}
    campaign = shop.send(text, guards={"in_stock": ["p1"]})
    assert shop.report(campaign)["reasons"] == ({} if sent else {"out_of_stock": 1})
    assert [one.notification["title"] for one in push.arrived] == (["Bone for 2.5"] if sent else [])


def test_variants_and_holdout_share_the_customers_out(shop: Shop, push: ScriptedPush) -> None:
    shop.crowd(60)
    variants = [
        {"weight": weight, "notification": {"title": name, "url": "https://shop.example/"}}
        for name, weight in (("A", 3), ("B", 1))
    ]
    campaign = shop.send(variants=variants, holdout_percent=20)
    report = shop.report(campaign)
    assert report["reasons"] == {"holdout": report["states"]["suppressed"]}
    assert 4 <= report["states"]["suppressed"] <= 24
    a, b = report["variants"]
    assert a["audience"] > b["audience"] > 4
    titles = [one.notification["title"] for one in push.arrived]
    assert titles.count("A") == a["states"]["accepted"]
    assert titles.count("B") == b["states"]["accepted"]


def test_a_planner_that_died_is_replaced_where_it_was(
    shop: Shop, push: ScriptedPush, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = shop.crowd(25)
    monkeypatch.setenv("HOMING_CHUNK_SIZE", "1")  # so a page is five customers
    settings.cache_clear()
    campaign = shop.start()
    with db.session(site_id=shop.site_id) as session:
        dispatch = session.get_one(service.Dispatch, 1)
        plan._plan_page(session, dispatch)
    lose_redis()
    assert shop.report(campaign)["audience"] == 5
    later(21)
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert shop.report(campaign)["audience"] == 25
    assert push.shown() == dict.fromkeys(names, 1)


def test_redis_emptied_in_the_middle(shop: Shop, push: ScriptedPush) -> None:
    names = shop.crowd(30)
    campaign = shop.start()
    lose_redis()
    later(21)
    tick(shop.db)
    work("plan")
    assert shop.states(campaign) == {"queued": 30}
    lose_redis()
    later(21)
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == dict.fromkeys(names, 1)


def test_expired_deliveries_that_nobody_can_send_come_to_an_end(shop: Shop, db: Database) -> None:
    shop.customer("ada", "ada")
    campaign = shop.start(ttl=60)
    work("plan")
    lose_redis()
    later(61)
    tick(db)
    assert shop.report(campaign)["reasons"] == {"too_late": 1}
    assert shop.state(campaign) == "sent"


def test_what_is_planned_for_later_goes_then_and_lives_from_then(shop: Shop, push: ScriptedPush, db: Database) -> None:
    shop.crowd(2)
    stand()
    campaign = shop.start(ttl=600)
    work("plan")
    with db.session() as session:
        session.sql(
            text(
                "update delivery set not_before = :at, due_at = :at where customer_id ="
                " (select id from customer where external_id = 'c1')"
            ),
            {"at": clock.now() + timedelta(hours=3)},
        )
    work()
    assert shop.states(campaign) == {"accepted": 1, "queued": 1}, "even by a job that was put there before"
    stand(3 * 3600 - 1)
    tick(db)
    work()
    assert shop.state(campaign) == "sending"
    stand(2)
    tick(db)
    work()
    assert push.shown() == {"c0": 1, "c1": 1}
    assert push.arrived[-1].headers["ttl"] == "599"


def test_what_is_planned_for_later_expires_when_its_own_life_ends(shop: Shop, push: ScriptedPush, db: Database) -> None:
    shop.customer("ada", "ada")
    campaign = shop.start(ttl=600)
    work("plan")
    with db.session() as session:
        at = {"at": clock.now() + timedelta(hours=3)}
        session.sql(text("update delivery set not_before = :at, due_at = :at"), at)
    later(3 * 3600 + 601)
    tick(db)
    assert shop.report(campaign)["reasons"] == {"too_late": 1}


@pytest.mark.parametrize(
    ("policy", "posted", "state"), [("at-least-once", 2, "accepted"), ("at-most-once", 1, "failed")]
)
def test_what_may_have_been_posted_by_a_dead_worker(
    shop: Shop, push: ScriptedPush, db: Database, policy: str, posted: int, state: str
) -> None:
    shop.customer("ada", "ada")
    campaign = shop.start(delivery=policy)
    work()
    with db.session() as session:  # as though the worker had died before it could write the result
        session.sql(text("update delivery set state = 'sending', due_at = updated_at + interval '30 s'"))
    later(31)
    tick(db)
    work()
    assert (push.asked["ada"], shop.states(campaign)) == (posted, {state: 1})


def test_at_most_once_asks_again_where_nobody_was_there(shop: Shop, push: ScriptedPush, db: Database) -> None:
    shop.customer("ada", "ada")
    campaign = shop.start(delivery="at-most-once")
    push.hang_up()
    work()
    assert shop.states(campaign) == {"retry": 1}
    push.answer_again()
    shop.work_until(lambda: shop.state(campaign) == "sent")
    assert push.shown() == {"ada": 1}


def test_at_most_once_does_not_ask_again_where_no_answer_came(shop: Shop, push: ScriptedPush) -> None:
    names = shop.crowd(2)
    shop.send()  # so that a connection is open: libcurl posts again when one ends that it has used before
    push.asked.clear()
    push.script["c0"].append(Answer(reset=True))
    push.script["c1"].append(Answer(503))
    campaign = shop.send(delivery="at-most-once")
    assert [push.asked[name] for name in names] == [1, 2], "a refusal is an answer, and tells that nothing arrived"
    assert shop.states(campaign) == {"failed": 1, "accepted": 1}
