"""The ingest paths over HTTP: what is stored, as what, of whom."""

import gzip
import json
from datetime import timedelta

import pytest

from push_server import security
from push_server.sites.models import Scope, Site
from push_server.sites.service import add_secret_key, create_site
from tests.integration.ingest import NOW, Shop, shop

__all__ = ["shop"]


def test_an_event_is_committed_before_the_answer(shop: Shop) -> None:
    properties = {"product_id": "p1", "category": "dog", "value": 12.34, "note": 'árvíztűrő \\ \t "x" 🐕'}
    shop.send(
        "track",
        {
            "userId": "u1",
            "event": "Product Viewed",
            "messageId": "m1",
            "timestamp": "2026-03-01T10:00:00Z",
            "properties": properties,
            "context": {"locale": "hu"},
        },
    )
    assert shop.rows(
        "select k.text, c.external_id, e.ts, e.value, p.text, g.text, message_id, properties, context, received_at"
        " from event e join event_body b using (seq) join customer c on c.id = e.customer_id"
        " join term k on k.id = kind_id join term p on p.id = e.product_id join term g on g.id = e.category_id"
    ) == [
        (
            "Product Viewed",
            "u1",
            NOW - timedelta(hours=2),
            12_340_000,
            "p1",
            "dog",
            "m1",
            properties,
            {"locale": "hu"},
            NOW,
        )
    ]


def test_every_way_to_give_the_key(shop: Shop) -> None:
    body = {"userId": "u", "event": "X"}
    for headers, extra in [
        ({"Authorization": f"Bearer {shop.secret_key}"}, {}),
        ({}, {"writeKey": shop.public_key}),
        ({}, {"writeKey": shop.secret_key}),
    ]:
        answer = shop.client.post("/v1/track", content=json.dumps(body | extra), headers=headers)
        assert answer.status_code == 200, answer.text
    assert shop.post("track", body, key=shop.secret_key).status_code == 200
    batch = {"batch": [{"type": "track", **body}], "writeKey": shop.public_key}
    plain = {"Content-Type": "text/plain", "Origin": "https://shop.example"}
    assert shop.client.post("/v1/batch", content=json.dumps(batch), headers=plain).status_code == 200
    assert len(shop.events()) == 5


def test_a_gzip_body(shop: Shop) -> None:
    body = gzip.compress(json.dumps({"userId": "u", "event": "X"}).encode())
    assert shop.post("track", body, **{"Content-Encoding": "gzip"}).status_code == 200
    bomb = gzip.compress(b" " * 10_000_000)
    for sent, status in [(b"no gzip", 400), (body[:-9], 400), (bomb, 413)]:
        assert shop.post("track", sent, **{"Content-Encoding": "gzip"}).status_code == status
    assert len(shop.events()) == 1


def test_a_message_comes_once(shop: Shop) -> None:
    message = {"type": "track", "userId": "u", "event": "X", "messageId": "m1"}
    shop.send("batch", {"batch": [message, message]})
    shop.send("track", message | {"event": "Y"})
    shop.send("track", {"userId": "u", "event": "Z"})
    shop.send("track", {"userId": "u", "event": "Z"})
    assert [row[0] for row in shop.events()] == ["X", "Z", "Z"]


def test_an_identify_that_comes_again_late_changes_nothing(shop: Shop) -> None:
    first = {"userId": "u", "messageId": "i1", "traits": {"plan": "old"}}
    shop.send("identify", first)
    shop.send("identify", {"userId": "u", "messageId": "i2", "traits": {"plan": "new"}})
    shop.send("identify", first)
    assert shop.rows("select attributes from customer") == [({"plan": "new"},)]


@pytest.mark.parametrize(
    ("timestamp", "sent_at", "expected"),
    [
        (None, None, timedelta(0)),
        ("2026-03-01T09:00:00Z", None, timedelta(hours=-3)),
        ("2026-03-02T12:00:00Z", None, timedelta(days=1)),
        ("2026-02-28T12:00:00+02:00", None, timedelta(hours=-26)),
        ("2020-01-01T00:00:00.000Z", "2020-01-01T00:00:05.5Z", timedelta(seconds=-5.5)),
        (None, "2020-01-01T00:00:05Z", timedelta(0)),
    ],
)
def test_client_clocks_are_corrected(
    shop: Shop, timestamp: str | None, sent_at: str | None, expected: timedelta
) -> None:
    message = {"type": "track", "userId": "u", "event": "X", "timestamp": timestamp}
    shop.send("track", message | {"sentAt": sent_at})
    shop.send("batch", {"batch": [message], "sentAt": sent_at})
    assert shop.rows("select ts from event") == [(NOW + expected,)] * 2


def test_old_names_and_pages(shop: Shop) -> None:
    for name in ("Viewed Product", "Completed Order", "Started Order", "Viewed Product Category"):
        shop.send("track", {"userId": "u", "event": name})
    shop.send("page", {"anonymousId": "b", "name": "Home", "properties": {"url": "/"}})
    shop.send("page", {"anonymousId": "b"})
    names = [
        "Product Viewed",
        "Order Completed",
        "Checkout Started",
        "Product List Viewed",
        "Page Viewed",
        "Page Viewed",
    ]
    assert [row[0] for row in shop.events()] == names
    stored = [row[0] for row in shop.rows("select properties from event_body order by seq")]
    assert stored[-2:] == [{"url": "/", "name": "Home"}, {}]


def test_traits_become_attributes(shop: Shop) -> None:
    traits = {"country": "HU", "gone": 1, "timezone": "Europe/Budapest", "birthday": "1980-02-29"}
    shop.send("identify", {"userId": "u", "traits": traits})
    shop.send("identify", {"userId": "u", "traits": {"gone": None, "age": 46}})
    assert shop.rows("select attributes, time_zone, birth_md from customer") == [
        ({"country": "HU", "timezone": "Europe/Budapest", "birthday": "1980-02-29", "age": 46}, "Europe/Budapest", 229)
    ]
    shop.send("identify", {"userId": "u", "traits": {"birthday": None, "timezone": "Mars/Phobos"}})
    shop.send("track", {"userId": "u", "event": "X", "context": {"timezone": "Asia/Tokyo"}})
    assert shop.rows("select time_zone, birth_md from customer") == [("Asia/Tokyo", None)]


def test_a_batch_shares_its_context(shop: Shop) -> None:
    shop.send(
        "batch",
        {
            "context": {"timezone": "Asia/Tokyo", "locale": "ja"},
            "batch": [
                {"type": "track", "userId": "u", "event": "X"},
                {"type": "track", "userId": "v", "event": "X", "context": {"locale": "en"}},
            ],
        },
    )
    assert [row[0] for row in shop.rows("select context from event_body order by seq")] == [
        {"timezone": "Asia/Tokyo", "locale": "ja"},
        {"timezone": "Asia/Tokyo", "locale": "en"},
    ]
    assert shop.rows("select time_zone from customer") == [("Asia/Tokyo",)] * 2


def test_identify_in_a_batch_gives_the_known_customer_everything(shop: Shop) -> None:
    track = {"type": "track", "anonymousId": "b1", "event": "X"}
    identify = {"type": "identify", "anonymousId": "b1", "userId": "u1"}
    shop.send("batch", {"batch": [track, identify, track]})
    assert shop.events() == [("X", "u1", "b1")] * 2
    shop.send("batch", {"batch": [{**track, "anonymousId": "b2"}, {**identify, "anonymousId": "b2"}]})
    shop.send("track", {"anonymousId": "b3", "event": "X"})
    shop.send("alias", {"previousId": "b3", "userId": "u1"})
    shop.send("track", {"anonymousId": "b3", "event": "X"})
    assert {row[1] for row in shop.events()} == {"u1"}
    assert shop.rows("select count(*) from customer") == [(1,)]


def test_a_shared_browser_goes_over_to_who_signs_in(shop: Shop) -> None:
    for user in ("u1", "u2"):
        shop.send("identify", {"anonymousId": "b", "userId": user})
        shop.send("track", {"anonymousId": "b", "event": "X"})
    assert [row[1] for row in shop.events()] == ["u1", "u2"]
    shop.send("alias", {"previousId": "u1", "userId": "u2"})
    assert [row[1] for row in shop.events()] == ["u1", "u2"]


def test_orders_by_the_secret_key_only_when_the_site_says_so(shop: Shop) -> None:
    shop.configure(secret_orders_only=True)
    for name in ("Order Completed", "Completed Order", "Loyalty Points Earned"):
        body = {"userId": "u", "event": name}
        assert shop.post("track", body).json()["code"] == "secret_key_needed_for_orders"
        assert shop.post("track", body, key=shop.secret_key).status_code == 200
    assert shop.post("track", {"userId": "u", "event": "Orders Seen"}).status_code == 200


def test_user_ids_are_vouched_for_when_the_site_says_so(shop: Shop) -> None:
    shop.configure(identity_verification=True)
    with shop.db.session() as session:
        site = session.get(Site, shop.site_id)
        assert site is not None
        good = security.user_hash(security.unseal(site.identity_secret, "site.identity_secret"), "u")
    body = {"userId": "u", "event": "X"}
    assert shop.post("track", body).json()["code"] == "user_hash_invalid"
    assert shop.post("track", body | {"userHash": "00"}).status_code == 403
    shop.send("track", body | {"userHash": good})
    shop.send("track", body | {"context": {"userHash": good}})
    assert shop.post("track", body, key=shop.secret_key).status_code == 200
    shop.send("track", {"anonymousId": "b", "event": "X"})


def test_keys_scopes_and_origins(shop: Shop) -> None:
    with shop.db.session(site_id=shop.site_id) as session:
        reader, _ = add_secret_key(session, "reader", [Scope.EVENTS_READ])
    body = {"userId": "u", "event": "X"}
    assert shop.post("track", body, key=reader).json()["code"] == "scope_missing"
    assert shop.post("track", body, key="pk_unknown").json()["code"] == "unknown_key"
    assert shop.client.post("/v1/track", json=body).json()["code"] == "no_key"
    assert shop.post("track", body, Origin="https://evil.example").json()["code"] == "origin_not_allowed"
    answer = shop.post("track", body, Origin="https://shop.example")
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, "https://shop.example")
    assert shop.client.get("/v1/track").status_code == 405


def test_idempotency_keys(shop: Shop) -> None:
    body = {"userId": "u", "event": "X"}
    key = {"Idempotency-Key": "k1"}
    assert [shop.post("track", body, **key).status_code for _ in range(2)] == [200, 200]
    assert shop.post("track", body | {"event": "Y"}, **key).json()["code"] == "idempotency_key_reused"
    assert len(shop.events()) == 1
    assert shop.post("track", body, **{"Idempotency-Key": "x" * 256}).status_code == 400


def test_a_site_has_only_so_many_event_names(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("push_server.events.terms.MAX_EVENT_NAMES", 2)
    key = {"Idempotency-Key": "k1"}
    shop.send("track", {"userId": "u", "event": "A"})
    many = {"batch": [{"type": "track", "userId": "new", "event": name} for name in ("A", "B", "C")]}
    for _ in range(2):
        assert shop.post("batch", many, **key).json()["code"] == "too_many_event_names"
    shop.send("track", {"userId": "u", "event": "B"})
    assert [row[0] for row in shop.events()] == ["A", "B"]
    assert shop.rows("select count(*) from customer") == [(1,)]


def test_two_sites_keep_apart_what_has_the_same_ids(shop: Shop) -> None:
    with shop.db.session() as session:
        other = create_site(session, "Other", ["https://other.example"])
    body = {"userId": "u", "event": "X", "messageId": "m1"}
    assert shop.post("track", body).status_code == shop.post("track", body, key=other.public_key).status_code == 200
    assert len(shop.events()) == 2
    assert shop.rows("select count(distinct site_id) from customer") == [(2,)]
