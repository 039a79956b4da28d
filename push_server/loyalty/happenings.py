"""Loyalty events: what they say is stored as lots, redemptions and tiers, with the event, and as exactly once.

`Loyalty Points Earned{lot_id, points, expires_at}`, `Loyalty Points Redeemed{redemption_id, points}` and `Loyalty Tier
Changed{tier}`, each at the event's own instant. An event tells what has happened, so a redemption that no lots cover
is not turned away: it is kept as uncovered, draws nothing, and is tried again when lots come. What is told again under
a known id changes nothing.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from push_server import clock
from push_server.customers.changes import Kind, due, note
from push_server.customers.identity import Connection
from push_server.errors import Fault
from push_server.events.followers import Told
from push_server.events.intake import EPOCH
from push_server.loyalty.program import UNSAID, Expiry
from push_server.loyalty.shapes import LONGEST_ID, MAX_POINTS, instant
from push_server.loyalty.store import LotFact, RedemptionFact, lock_customers, take_lots, take_redemptions

EARNED, REDEEMED, TIER_CHANGED = "Loyalty Points Earned", "Loyalty Points Redeemed", "Loyalty Tier Changed"


class _Earned(NamedTuple):
    lot_id: str
    points: int
    expires_at: Expiry


class _Redeemed(NamedTuple):
    redemption_id: str
    points: int


class _Tier(NamedTuple):
    tier: str | None


class LoyaltyEvents:
    """Follows the loyalty events."""

    names = frozenset((EARNED, REDEEMED, TIER_CHANGED))

    def read(
        self, name: str, properties: Mapping[str, Any], fallback_id: str, zone: str, path: str, faults: list[Fault]
    ) -> _Earned | _Redeemed | _Tier | None:
        """The fact; none where points or tier are left out, and then the event is one like any other.

        Without an id of its own a lot or a redemption goes by its message's.
        """
        before = len(faults)
        if ("tier" if name == TIER_CHANGED else "points") not in properties:
            return None
        if name == TIER_CHANGED:
            fact: _Earned | _Redeemed | _Tier = _Tier(_text(properties, "tier", path, faults))
        elif name == EARNED:
            lot_id = _text(properties, "lot_id", path, faults) or fallback_id
            fact = _Earned(lot_id, _points(properties, path, faults), _expiry(properties, zone, path, faults))
        else:
            redemption_id = _text(properties, "redemption_id", path, faults) or fallback_id
            fact = _Redeemed(redemption_id, _points(properties, path, faults))
        return None if len(faults) > before else fact

    def write(self, conn: Connection, site_id: int, told: list[Told]) -> None:
        """Lots before redemptions, since each has its own instant; of those with one id the first."""
        now = clock.now()
        lots: dict[str, LotFact] = {}
        redemptions: dict[str, RedemptionFact] = {}
        for fact, customer, ts, _seq in told:
            at = EPOCH + timedelta(microseconds=ts)
            if isinstance(fact, _Earned):
                lots.setdefault(fact.lot_id, LotFact(fact.lot_id, customer, fact.points, at, fact.expires_at))
            elif isinstance(fact, _Redeemed):
                spent = RedemptionFact(fact.redemption_id, customer, fact.points, at)
                redemptions.setdefault(fact.redemption_id, spent)
        accounts = {each.customer for each in told if not isinstance(each.fact, _Tier)}
        lock_customers(conn, site_id, accounts)
        if lots:
            take_lots(conn, site_id, list(lots.values()), now)
        if redemptions:
            take_redemptions(conn, site_id, list(redemptions.values()), now)
        tiers = [each for each in told if isinstance(each.fact, _Tier)]
        if tiers:
            conn.execute(
                "insert into tier_change (site_id, seq, customer_id, at, tier) select %s, * from"
                " unnest(%s::bigint[], %s::int[], %s::timestamptz[], %s::text[])",
                [
                    site_id,
                    [each.seq for each in tiers],
                    [each.customer for each in tiers],
                    [EPOCH + timedelta(microseconds=each.ts) for each in tiers],
                    [each.fact.tier for each in tiers],
                ],
            )
            note(conn, site_id, [(each.customer, Kind.LOYALTY) for each in tiers])
            due(conn, site_id, [(each.customer, EPOCH + timedelta(microseconds=each.ts)) for each in tiers])


def _points(properties: Mapping[str, Any], path: str, faults: list[Fault]) -> int:
    points = properties.get("points")
    if isinstance(points, float) and points.is_integer():
        points = int(points)
    if type(points) is not int or not 1 <= points <= MAX_POINTS:
        faults.append(Fault(f"{path}.points", f"must be a whole number from 1 to {MAX_POINTS}", "out_of_range"))
        return 0
    return points


def _expiry(properties: Mapping[str, Any], zone: str, path: str, faults: list[Fault]) -> Expiry:
    if "expires_at" not in properties:
        return UNSAID
    told = properties["expires_at"]
    end = None if told is None else instant(told, ZoneInfo(zone))
    if end is None and told is not None:
        faults.append(Fault(f"{path}.expires_at", "must be an RFC 3339 instant from 1970 on", "bad_date"))
    return end


def _text(properties: Mapping[str, Any], name: str, path: str, faults: list[Fault]) -> str | None:
    value = properties.get(name)
    if type(value) is int:
        value = str(value)
    if value is None or (isinstance(value, str) and len(value) <= LONGEST_ID):
        return value or None
    faults.append(Fault(f"{path}.{name}", f"must be a text of at most {LONGEST_ID} characters", "wrong_type"))
    return None
