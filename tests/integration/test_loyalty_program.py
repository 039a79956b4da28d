"""The points programme: what it makes of lots of which nothing is said, and whose it is."""

from datetime import timedelta
from typing import Any

from push_server import clock
from push_server.sites.service import create_site
from tests.integration.ingest import NOW, Shop, shop
from tests.integration.test_loyalty import DAY, account, day, lot, post, refused, track

__all__ = ["shop"]
PATH = "/v1/loyalty/program"
DEFAULT = {"points_name": {"singular": "point", "plural": "points"}, "expires_after": None, "tiers": []}


def put(shop: Shop, key: str | None = None, **program: Any) -> Any:
    headers = {"Authorization": f"Bearer {key or shop.secret_key}"}
    return shop.client.put(PATH, json=program, headers=headers)


def got(shop: Shop, key: str | None = None) -> Any:
    return shop.client.get(PATH, headers={"Authorization": f"Bearer {key or shop.secret_key}"}).json()


def ends(shop: Shop) -> dict[str, str | None]:
    return {each["lot_id"]: each["expires_at"] for each in account(shop)["lots"]}


def test_it_is_replaced_whole(shop: Shop) -> None:
    assert got(shop) == DEFAULT
    whole = {"points_name": {"singular": "Pfote", "plural": "Pfoten"}, "expires_after": "8w", "tiers": ["a", "A"]}
    assert put(shop, **whole).json() == got(shop) == whole
    assert put(shop, tiers=["b"]).json() == got(shop) == DEFAULT | {"tiers": ["b"]}
    assert put(shop, expires_after="36525d").json() == got(shop) == DEFAULT | {"expires_after": "36525d"}
    assert put(shop).json() == got(shop) == DEFAULT


def test_lots_of_which_nothing_is_said_last_as_long_as_it_says(shop: Shop) -> None:
    unsaid = {"lot_id": "now", "customer": "u", "points": 1}
    post(shop, "lots", lot("before", 1, earned=-3))
    put(shop, expires_after="5d")
    post(
        shop, "lots", unsaid, lot("old", 1, earned=-5), lot("said", 1, expires=9), lot("ever", 1) | {"expires_at": None}
    )
    track(shop, "Loyalty Points Earned", NOW - DAY, lot_id="event", points=1)
    track(shop, "Loyalty Points Earned", lot_id="event for ever", points=1, expires_at=None)
    track(shop, "Loyalty Points Earned", lot_id="event said", points=1, expires_at=day(7))
    assert ends(shop) == {
        "before": None,
        "now": "2026-03-06T12:00:00Z",
        "old": "2026-03-01T12:00:00Z",  # the first instant at which it does not count
        "said": "2026-03-10T12:00:00Z",
        "ever": None,
        "event": "2026-03-05T12:00:00Z",
        "event for ever": None,
        "event said": "2026-03-08T12:00:00Z",
    }
    assert account(shop)["balance"] == 7
    clock.set_source(lambda: NOW + 4 * DAY - timedelta(microseconds=1))
    assert account(shop)["balance"] == 7
    clock.set_source(lambda: NOW + 4 * DAY)
    assert account(shop)["balance"] == 6
    assert account(shop)["next_expiry"] == {"at": "2026-03-06T12:00:00Z", "points": 1}


def test_what_was_left_out_can_be_repeated_whatever_the_programme_says_by_then(shop: Shop) -> None:
    put(shop, expires_after="5d")
    first = lot("a", 10, earned=-1)
    for program in ({"expires_after": "5d"}, {"expires_after": "9d"}, {}):
        put(shop, **program)
        post(shop, "lots", first)
        assert post(shop, "lots", first).json() == {"created": 0, "unchanged": 1}
        refused(post(shop, "lots", first | {"points": 11}), "lot_id_reused", "$.lots[0].lot_id")
        refused(post(shop, "lots", first | {"expires_at": None}), "lot_id_reused", "$.lots[0].lot_id")
    assert ends(shop) == {"a": "2026-03-05T12:00:00Z"}


def test_beyond_the_calendar_is_for_ever(shop: Shop) -> None:
    put(shop, expires_after="36525d")
    post(shop, "lots", {"lot_id": "a", "customer": "u", "points": 1, "earned_at": "9990-01-01T00:00:00Z"})
    assert ends(shop) == {"a": None}


def test_the_next_tier_is_the_one_above(shop: Shop) -> None:
    post(shop, "lots", lot("a", 1))
    assert account(shop)["next_tier"] is None
    put(shop, tiers=["bronze", "silver", "gold"])
    cases = ((None, "bronze"), ("bronze", "silver"), ("gold", None), ("Gold", None), ("silver", "gold"))
    for number, (tier, above) in enumerate(cases):
        track(shop, "Loyalty Tier Changed", NOW - (9 - number) * DAY, tier=tier)
        found = account(shop)
        assert (found["tier"], found["next_tier"]) == (tier, above)


def test_each_site_has_its_own_and_a_key_needs_the_scope(shop: Shop) -> None:
    put(shop, tiers=["gold"], expires_after="1d")
    with shop.db.session() as session:
        other = create_site(session, "Other", ["https://other.example"]).secret_key
    assert got(shop, other) == DEFAULT
    put(shop, other, tiers=["ruby"])
    assert got(shop)["tiers"] == ["gold"]
    headers = {"Authorization": f"Bearer {shop.secret_key}"}
    made = shop.client.post("/v1/site/keys", json={"name": "r", "scopes": ["loyalty:read"]}, headers=headers).json()
    assert put(shop, made["key"]).json()["code"] == "scope_missing"
    assert got(shop, made["key"])["tiers"] == ["gold"]
