"""`/v1/loyalty` and `/v1/customers/{id}/loyalty`: points lots, redemptions, and what a customer has."""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated
from zoneinfo import ZoneInfo

from fastapi import Depends, Path, Request
from pydantic import AfterValidator

from push_server import clock, http
from push_server.customers.service import find_customer
from push_server.errors import Fault, Invalid
from push_server.fields import storable
from push_server.http import session_of
from push_server.loyalty import service
from push_server.loyalty.program import UNSAID
from push_server.loyalty.shapes import (
    LotOut,
    LotsIn,
    LoyaltyOut,
    NextExpiry,
    RedemptionOut,
    RedemptionsIn,
    TakenOut,
    instant,
)
from push_server.sites.access import Principal, require
from push_server.sites.models import Scope

router = http.router("loyalty")
Writer = Annotated[Principal, Depends(require(Scope.LOYALTY_WRITE))]


@router.post("/v1/loyalty/lots")
def post_lots(body: LotsIn, request: Request, principal: Writer) -> TakenOut:
    """Take points lots in, all or none; the same lot again changes nothing, other content under its id is a 409."""
    _once("lots", "lot_id", (lot.lot_id for lot in body.lots))
    times = _Times(principal)
    given = [
        service.LotGiven(
            lot.lot_id,
            lot.customer,
            lot.points,
            times.read(lot.earned_at, f"$.lots[{at}].earned_at"),
            times.read(lot.expires_at, f"$.lots[{at}].expires_at") if "expires_at" in lot.model_fields_set else UNSAID,
        )
        for at, lot in enumerate(body.lots)
    ]
    times.check()
    new = service.add_lots(session_of(request), given)
    return TakenOut(created=new, unchanged=len(given) - new)


@router.post("/v1/loyalty/redemptions")
def post_redemptions(body: RedemptionsIn, request: Request, principal: Writer) -> TakenOut:
    """Spend points, all of these or none. Each redemption draws, at its own instant, from the lots then alive.

    The lot that expires first is drawn from first. What no lot can cover is refused (409 `not_enough_points`); so is
    one at an instant in the past that would leave a later one uncovered. The same redemption again changes nothing.
    """
    _once("redemptions", "redemption_id", (each.redemption_id for each in body.redemptions))
    times = _Times(principal)
    given = [
        service.RedemptionGiven(
            each.redemption_id, each.customer, each.points, times.read(each.at, f"$.redemptions[{at}].at")
        )
        for at, each in enumerate(body.redemptions)
    ]
    times.check()
    new = service.redeem(session_of(request), given)
    return TakenOut(created=new, unchanged=len(given) - new)


@router.get("/v1/customers/{external_id:path}/loyalty")
def get_loyalty(
    external_id: Annotated[str, Path(min_length=1, max_length=255), AfterValidator(storable)],
    request: Request,
    _principal: Annotated[Principal, Depends(require(Scope.LOYALTY_READ))],
) -> LoyaltyOut:
    """What a customer has now: balance, tier, what expires next, lots and redemptions, the newest first."""
    session = session_of(request)
    customer = find_customer(session, external_id)
    assert customer.id is not None
    found = service.loyalty_of(session, customer.id)
    soon = found.next_expiry
    return LoyaltyOut(
        customer=external_id,
        balance=found.balance,
        tier=found.tier,
        next_tier=found.next_tier,
        next_expiry=None if soon is None else NextExpiry(at=clock.rfc3339(soon.at), points=soon.points),
        lots=[
            LotOut(
                lot_id=lot.lot_id,
                points=lot.points,
                spent=lot.spent,
                remaining=lot.remaining,
                earned_at=clock.rfc3339(lot.earned_at),
                expires_at=None if lot.expires_at is None else clock.rfc3339(lot.expires_at),
            )
            for lot in found.lots
        ],
        redemptions=[
            RedemptionOut(
                redemption_id=each.redemption_id, points=each.points, at=clock.rfc3339(each.at), state=each.state
            )
            for each in found.redemptions
        ],
    )


class _Times:
    """Reads the instants of a body, and gathers the faults in them."""

    def __init__(self, principal: Principal) -> None:
        self.zone, self.faults = ZoneInfo(principal.site.time_zone), list[Fault]()

    def read(self, text: str | None, path: str) -> datetime | None:
        if text is None:
            return None
        found = instant(text, self.zone)
        if found is None:
            self.faults.append(Fault(path, "must be an RFC 3339 instant from 1970 on", "bad_date"))
        return found

    def check(self) -> None:
        if self.faults:
            raise Invalid(
                "Some times are no instants such as 2026-05-31T09:00:00Z; `errors` names each.",
                code="bad_date",
                faults=self.faults,
            )


def _once(group: str, name: str, ids: Iterable[str]) -> None:
    seen: dict[str, int] = {}
    for at, id in enumerate(ids):
        first = seen.setdefault(id, at)
        if first != at:
            raise Invalid(
                f"A {name} stands twice in this call; send each once.",
                code=f"duplicate_{name}",
                faults=[Fault(f"$.{group}[{at}].{name}", f"is also in $.{group}[{first}]", f"duplicate_{name}")],
            )
