"""Every way by which a shop's facts are written, each with a rule that must turn when it is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from push_server import clock
from push_server.events import retention
from tests.integration.change_world import EAST, LINE, WEST, World, anonymous
from tests.integration.sending import work
from tests.integration.test_subscriptions import FIREFOX

ANNIVERSARY = {"attribute": "birthday", "anniversary_within": "1d"}
ORDER = {"event": "Order Completed"}


@dataclass(frozen=True)
class Path:
    """`rule` holds for the customer once it is written, or, with `ends`, not any more.

    `anonymous`: for whom the browser stands.

    `whole`: what it changes concerns too many to look at them one by one, so the rule is evaluated for everyone.
    """

    name: str
    rule: dict[str, Any]
    write: Callable[[World], object]
    before: Callable[[World], object] = lambda w: None
    ends: bool = False
    whole: bool = False
    anonymous: bool = False


TRACK, BATCH, IDENTIFY, ALIAS, PAGE = (f"POST /v1/{name}" for name in ("track", "batch", "identify", "alias", "page"))
OPT, CUSTOMER = "POST /v1/subscriptions", "PUT /v1/customers/{external_id}"
SENT: dict[str, dict[str, Any]] = {
    outcome: {"message": {"outcome": outcome}} for outcome in ("accepted", "shown", "clicked", "converted")
}
SUBSCRIBED = {"subscription": {"browser": {"eq": "firefox"}}}

PATHS = [
    Path(f"{TRACK} any", {"event": "Seen"}, lambda w: w.track("Seen")),
    Path(f"{TRACK} any, a new customer", {"not": {"event": "Never"}}, lambda w: w.track("Seen")),
    Path(
        f"{TRACK} any, properties",
        {"event": "Seen", "where": {"colour": {"eq": "red"}}},
        lambda w: w.track("Seen", colour="red"),
        lambda w: w.track("Seen", colour="blue"),
    ),
    Path(f"{TRACK} any, a new browser", {"event": "Seen"}, lambda w: w.track("Seen", anonymous(w)), anonymous=True),
    Path(
        f"{TRACK} any, the time zone of its context",
        ANNIVERSARY,
        lambda w: w.call("POST", "/v1/track", {"event": "Seen", "userId": w.u, "context": {"timezone": EAST}}),
        World.born,
    ),
    Path(
        PAGE, {"event": "Page Viewed"}, lambda w: w.call("POST", "/v1/page", {"userId": w.u, "name": "Home"}), World.put
    ),
    Path(
        BATCH,
        {"all": [{"event": "Seen"}, {"attribute": "country", "eq": "HU"}]},
        lambda w: w.call(
            "POST",
            "/v1/batch",
            {
                "batch": [
                    {"type": "track", "userId": w.u, "event": "Seen"},
                    {"type": "identify", "userId": w.u, "traits": {"country": "HU"}},
                ]
            },
        ),
        World.put,
    ),
    Path(
        IDENTIFY,
        {"attribute": "country", "eq": "HU"},
        lambda w: w.call("POST", "/v1/identify", {"userId": w.u, "traits": {"country": "HU"}}),
        World.put,
    ),
    Path(
        f"{IDENTIFY}, a time zone",
        ANNIVERSARY,
        lambda w: w.call("POST", "/v1/identify", {"userId": w.u, "traits": {"timezone": EAST}}),
        World.born,
    ),
    Path(
        f"{IDENTIFY}, a merge",
        {"event": "Seen"},
        lambda w: w.call("POST", "/v1/identify", {"userId": w.u, "anonymousId": w.b, "traits": {}}),
        lambda w: (w.put(), w.track("Seen", anonymous(w))),
    ),
    Path(
        f"{IDENTIFY}, a merge with somebody whose events are deleted by age",
        {"event": "Deleted"},
        lambda w: w.call("POST", "/v1/identify", {"userId": w.u, "anonymousId": w.b, "traits": {}}),
        lambda w: w.roll_up("Deleted"),
    ),
    Path(
        "an event that came for a time from which all are deleted by age, and is deleted itself",
        {"event": "Late"},
        lambda w: retention.work(w.shop.db),
        lambda w: w.track_late("Late"),
        True,
    ),
    Path(
        f"{IDENTIFY}, a browser that gets a name",
        {"sample": {"percent": 50, "salt": "x"}},
        lambda w: w.call("POST", "/v1/identify", {"userId": w.u, "anonymousId": w.b, "traits": {}}),
        World.browse_outside_the_sample,
        anonymous=True,
    ),
    Path(
        ALIAS,
        {"event": "Seen"},
        lambda w: w.call("POST", "/v1/alias", {"userId": w.u, "previousId": w.b}),
        lambda w: (w.put(), w.track("Seen", anonymous(w))),
    ),
    Path(f"{TRACK} Order Completed", {**ORDER, "sum": {"of": "revenue", "gte": 7}}, World.order, World.put),
    Path(f"{TRACK} Order Completed, lines", {"bought": {"price": {"eq": 7}}}, World.order, World.put),
    Path(f"{TRACK} Order Completed, properties", {**ORDER, "where": {"a": {"eq": 1}}}, lambda w: w.order(a=1)),
    Path(
        f"{TRACK} Order Completed, a sequence",
        {"sequence": [{"event": "Seen"}, ORDER]},
        World.order,
        lambda w: (w.track("Seen"), later()),
    ),
    Path(f"{TRACK} Order Completed, first and last", {**ORDER, "last": {"within": "9d"}}, World.order, World.put),
    Path(
        f"{TRACK} Order Completed, a gap",
        {"order_gap": {"ratio": {"gte": 0}, "min_orders": 2}},
        World.order,
        lambda w: w.call(
            "POST",
            "/v1/track",
            ORDER | {"userId": w.u, "timestamp": "2020-01-01T00:00:00Z", "properties": {"order_id": f"first of {w.u}"}},
        ),
    ),
    Path(
        f"{TRACK} Order Completed, ranks",
        {"rank": {"by": {"event": "Order Completed", "sum": "revenue"}, "top_percent": 100}},
        World.order,
        World.put,
    ),
    Path(
        f"{TRACK} Order Completed, scores",
        {"rfm": {"frequency": {"gte": 1}}},
        World.order,
        World.put,
    ),
    Path(f"{TRACK} Order Refunded", ORDER, lambda w: w.track("Order Refunded", order_id=w.order_id), World.order, True),
    Path(
        f"{TRACK} Order Refunded, lines",
        {"bought": {"price": {"eq": 7}}},
        lambda w: w.track("Order Refunded", order_id=w.order_id, products=[LINE | {"product_id": w.product}]),
        lambda w: w.order(revenue=20),
        True,
    ),
    Path(
        f"{TRACK} Order Cancelled", ORDER, lambda w: w.track("Order Cancelled", order_id=w.order_id), World.order, True
    ),
    Path(
        f"{TRACK} Order Updated",
        {**ORDER, "sum": {"of": "revenue", "gte": 70}},
        lambda w: w.track("Order Updated", order_id=w.order_id, revenue=70),
        World.order,
    ),
    Path(
        f"{TRACK} Loyalty Points Earned",
        {"points": {"balance": {"gte": 50}}},
        lambda w: w.track("Loyalty Points Earned", points=50),
        World.put,
    ),
    Path(
        f"{TRACK} Loyalty Points Redeemed",
        {"points": {"balance": {"gte": 50}}},
        lambda w: w.track("Loyalty Points Redeemed", points=1),
        World.lots,
        True,
    ),
    Path(
        f"{TRACK} Loyalty Tier Changed",
        {"tier": {"in": ["gold"]}},
        lambda w: w.track("Loyalty Tier Changed", tier="gold"),
        World.put,
    ),
    Path("POST /v1/loyalty/lots", {"points": {"balance": {"gte": 50}}}, World.lots, World.put),
    Path(
        "POST /v1/loyalty/redemptions",
        {"points": {"balance": {"gte": 50}}},
        lambda w: w.call(
            "POST",
            "/v1/loyalty/redemptions",
            {"redemptions": [{"redemption_id": w.u, "customer": w.u, "points": 1}]},
        ),
        World.lots,
        True,
    ),
    Path(CUSTOMER, {"attribute": "country", "eq": "HU"}, lambda w: w.put(country="HU"), World.put),
    Path(f"{CUSTOMER}, a new one", {"all": []}, World.put),
    Path(
        f"{CUSTOMER}, a time zone",
        ANNIVERSARY,
        lambda w: w.call("PUT", f"/v1/customers/{w.u}", {"time_zone": EAST}),
        World.born,
    ),
    Path(
        "DELETE /v1/customers",
        {"event": "Seen"},
        lambda w: w.call("DELETE", f"/v1/customers?anonymous_id={w.b}"),
        lambda w: w.track("Seen", anonymous(w)),
        True,
        anonymous=True,
    ),
    Path(
        "DELETE /v1/customers/{external_id}",
        {"all": []},
        lambda w: w.call("DELETE", f"/v1/customers/{w.u}"),
        lambda w: (w.order(), w.lots(), w.opt_in(), w.track("Loyalty Tier Changed", tier="gold")),
        True,
    ),
    Path(
        "PUT /v1/products, a category",
        {"bought": {"category": {"eq": "dog"}}},
        lambda w: w.call("PUT", "/v1/products", {"products": [{"product_id": w.product, "category": "dog"}]}),
        World.order,
        whole=True,
    ),
    Path(
        "PUT /v1/products, a lifespan",
        {"replenish": {"within": "7d"}},
        lambda w: w.call("PUT", "/v1/products", {"products": [{"product_id": w.product, "lifespan_days": 3}]}),
        World.order,
        whole=True,
    ),
    Path(OPT, SUBSCRIBED, World.opt_in, World.put),
    Path(f"{OPT}, topics", {"topic": "sales"}, lambda w: w.opt_in(topics=["sales"]), World.opt_in),
    Path(
        f"{OPT}, another customer's browser",
        SUBSCRIBED,
        lambda w: w.opt_in(userId=f"other {w.u}"),
        World.opt_in,
        True,
    ),
    Path(
        f"{OPT}, another customer's former endpoint",
        SUBSCRIBED,
        lambda w: w.opt_in(f"new-{w.b}", userId=f"other {w.u}", previousEndpoint=FIREFOX + w.b),
        World.opt_in,
        True,
    ),
    Path(f"{OPT}, a time zone", ANNIVERSARY, lambda w: w.opt_in(context={"timezone": EAST}), World.born),
    Path(
        f"{OPT}, a merge",
        {"event": "Seen"},
        lambda w: w.opt_in(anonymousId=w.b),
        lambda w: (w.put(), w.track("Seen", anonymous(w))),
    ),
    Path(
        "DELETE /v1/subscriptions",
        SUBSCRIBED,
        lambda w: w.call("DELETE", "/v1/subscriptions", {"endpoint": FIREFOX + w.b}, browser=True),
        World.opt_in,
        True,
    ),
    Path(
        "PUT /v1/preferences",
        {"topic": "sales"},
        lambda w: w.call("PUT", "/v1/preferences", {"endpoint": FIREFOX + w.b, "topics": ["sales"]}, browser=True),
        World.opt_in,
    ),
    Path("a delivery that is accepted", SENT["accepted"], lambda w: work("send"), lambda w: w.campaign(sent=False)),
    Path(
        "a delivery to one who is gone",
        {"subscription": {"created_at": {"exists": True}}},
        World.send_to_one_who_is_gone,
        lambda w: w.campaign(sent=False),
        True,
    ),
    Path("POST /v1/receipts shown", SENT["shown"], lambda w: w.receipt("shown"), World.campaign),
    Path("POST /v1/receipts clicked", SENT["clicked"], lambda w: w.receipt("clicked"), World.campaign),
    Path(
        f"{TRACK} Order Completed, after a click",
        SENT["converted"],
        lambda w: (later(), w.order()),
        lambda w: (w.campaign(), w.receipt("clicked")),
    ),
    Path(
        "POST /v1/receipts clicked, before an order that is known",
        SENT["converted"],
        lambda w: w.receipt("clicked", ago=1),
        lambda w: (w.campaign(), later(), w.order()),
    ),
    Path(
        "PATCH /v1/site, a time zone",
        ANNIVERSARY,
        lambda w: w.call("PATCH", "/v1/site", {"time_zone": EAST}),
        lambda w: (
            w.call("PATCH", "/v1/site", {"time_zone": WEST}),
            w.born(),
            w.call("PUT", f"/v1/customers/{w.u}", {"time_zone": None}),
        ),
        whole=True,
    ),
    Path(  # last, since it ends everybody's subscriptions
        "DELETE /v1/site/vapid-keys/{public_key}",
        SUBSCRIBED,
        World.retire_vapid_key,
        lambda w: (w.opt_in(), w.call("POST", "/v1/site/vapid-keys")),
        True,
    ),
]

# Calls that write nothing of what rules read, and why.
BESIDE = {
    "POST /v1/segments": "rules, not facts: the members of a new or edited one are found at once",
    "PATCH /v1/segments/{segment_id}": "as above",
    "POST /v1/segments/{segment_id}/retry": "as above",
    "DELETE /v1/segments/{segment_id}": "none that another one names can be deleted",
    "POST /v1/segments/{segment_id}/export": "reads",
    "POST /v1/segments/{segment_id}/diff": "reads",
    "POST /v1/segments/estimate": "reads",
    "POST /v1/segments/overlap": "reads",
    "POST /v1/segments/backtest": "reads",
    "POST /v1/campaigns": "a campaign has no messages yet",
    "PATCH /v1/campaigns/{campaign_id}": "changes what is not sent yet",
    "DELETE /v1/campaigns/{campaign_id}": "a draft has no messages but tests",
    "POST /v1/campaigns/{campaign_id}/schedule": "its deliveries count once they are accepted",
    "POST /v1/campaigns/{campaign_id}/pause": "no delivery is accepted by it",
    "POST /v1/campaigns/{campaign_id}/resume": "its deliveries count once they are accepted",
    "POST /v1/campaigns/{campaign_id}/cancel": "what it ends was not accepted",
    "POST /v1/push-services/resume": "its deliveries count once they are accepted",
    "POST /v1/campaigns/{campaign_id}/preview": "reads",
    "POST /v1/campaigns/{campaign_id}/test": "tests count nowhere",
    "POST /v1/campaigns/{campaign_id}/send": "its deliveries count once they are accepted, which is a path above",
    "POST /v1/site/keys": "keys",
    "DELETE /v1/site/keys/{key_id}": "keys",
    "POST /v1/site/vapid-keys": "keys",
    "POST /v1/site/identity-secret/rotate": "keys",
    "PUT /v1/loyalty/program": "for lots to come; no rule reads it",
}


def later() -> None:
    """A second on, where time stands still."""
    now = clock.now() + timedelta(seconds=1)
    clock.set_source(lambda: now)
