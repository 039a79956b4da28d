"""Bad requests about loyalty."""

from typing import Any

from tests.contract.bad import Bad


def lot(fault: str, code: str = "invalid", **change: Any) -> Bad:
    rows = [{"lot_id": "l", "customer": "u", "points": 5} | change]
    return Bad("POST", "/v1/loyalty/lots", 422, code, json={"lots": rows}, fault=f"$.lots[0]{fault}")


def redemption(status: int, code: str, fault: str, **change: Any) -> Bad:
    rows = [{"redemption_id": "r", "customer": "u", "points": 5} | change]
    path = f"$.redemptions[0]{fault}"
    return Bad("POST", "/v1/loyalty/redemptions", status, code, json={"redemptions": rows}, fault=path)


def program(fault: str, code: str = "invalid", **body: Any) -> Bad:
    return Bad("PUT", "/v1/loyalty/program", 422, code, json=body, fault=f"${fault}")


def raw(points: bytes) -> Bad:
    body = b'{"lots":[{"lot_id":"l","customer":"u","points":' + points + b"}]}"
    return Bad("POST", "/v1/loyalty/lots", 422, "invalid", raw=body, fault="$.lots[0].points")


LOYALTY = [
    Bad("POST", "/v1/loyalty/lots", 422, "invalid", json={"lots": []}, fault="$.lots"),
    Bad("POST", "/v1/loyalty/lots", 422, "invalid", json={"lots": [5]}, fault="$.lots[0]"),
    Bad("POST", "/v1/loyalty/lots", 401, "secret_key_needed", json={"lots": []}, key="public"),
    Bad(
        "POST",
        "/v1/loyalty/lots",
        422,
        "duplicate_lot_id",
        json={"lots": [{"lot_id": "l", "customer": "u", "points": 5}] * 2},
        fault="$.lots[1].lot_id",
    ),
    lot(".points", points=0),
    lot(".points", points=-5),
    lot(".points", points="5"),
    lot(".points", points=True),
    lot(".points", points=1.5),
    lot(".points", points=10**13),
    lot(".points", points=1e300),
    lot(".points", points=None),
    raw(b"NaN"),
    raw(b"1e999"),
    lot(".lot_id", lot_id=""),
    lot(".lot_id", lot_id=7),
    lot(".lot_id", lot_id="\0"),
    lot(".customer", customer="\ud800"),
    lot(".customer", customer="u" * 256),
    lot(".expires_at", expires_at=7),
    lot(".expires_at", "bad_date", expires_at="soon"),
    lot(".expires_at", "bad_date", expires_at="2026-02-30"),
    lot(".expires_at", "bad_date", expires_at="\0"),
    lot(".earned_at", "bad_date", earned_at="1969-12-31"),
    lot(".colour", colour="red"),
    redemption(409, "not_enough_points", ".points"),
    redemption(422, "invalid", ".points", points=0),
    redemption(422, "bad_date", ".at", at="yesterday"),
    redemption(422, "invalid", ".redemption_id", redemption_id=None),
    Bad("GET", "/v1/customers/nobody/loyalty", 404, "no_such_customer"),
    Bad("GET", "/v1/customers/%00/loyalty", 422, "invalid", fault="path:external_id"),
    program(".expires_after", expires_after="soon"),
    program(".expires_after", expires_after="0d"),
    program(".expires_after", expires_after="365 days"),
    program(".expires_after", expires_after="36526d"),
    program(".expires_after", expires_after=365),
    program(".expires_after", expires_after="\0"),
    program(".points_name", points_name="paws"),
    program(".points_name", points_name=None),
    program(".points_name.plural", points_name={"singular": "paw"}),
    program(".points_name.singular", points_name={"singular": " ", "plural": "paws"}),
    program(".points_name.singular", points_name={"singular": "p" * 51, "plural": "paws"}),
    program(".tiers", tiers="gold"),
    program(".tiers", tiers=None),
    program(".tiers", tiers=[f"t{number}" for number in range(51)]),
    program(".tiers[1]", tiers=["gold", ""]),
    program(".tiers[0]", tiers=["\ud800"]),
    program(".tiers[0]", tiers=[1]),
    program(".tiers[2]", "duplicate_tier", tiers=["silver", "gold", "silver"]),
    program(".per_euro", per_euro=1),
    Bad("PUT", "/v1/loyalty/program", 422, "invalid", json=[], fault="$"),
    Bad("PUT", "/v1/loyalty/program", 401, "secret_key_needed", json={}, key="public"),
    Bad("GET", "/v1/loyalty/program", 401, "secret_key_needed", key="public"),
    Bad("POST", "/v1/loyalty/program", 405, "method_not_allowed", json={}),
]
