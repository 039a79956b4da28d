"""The API's shapes of loyalty."""

from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from push_server.fields import Body, Id
from segments.moments import read_moment

MOST = 1000
MAX_POINTS = 10**12
LONGEST_ID = 255
_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)


def instant(text: Any, zone: tzinfo) -> datetime | None:
    """The instant that a text writes, from 1970 on; a date without a time is its midnight in `zone`."""
    moment = read_moment(text, zone) if isinstance(text, str) else None
    return moment.at if moment is not None and moment.at >= _EARLIEST else None


def _whole(number: Any) -> Any:
    return int(number) if isinstance(number, float) and number.is_integer() else number


Points = Annotated[int, BeforeValidator(_whole, json_schema_input_type=int), Field(ge=1, le=MAX_POINTS)]
At = Annotated[str, StringConstraints(strict=True, max_length=64), Field(json_schema_extra={"format": "date-time"})]


class LotIn(Body):
    """Points earned together. Without `earned_at` they are earned now.

    Without `expires_at` they last as long as the programme says, and for ever where it says nothing.
    """

    lot_id: Id
    customer: Id = Field(description="the shop's own id of the customer, who is created when new")
    points: Points
    earned_at: At | None = None
    expires_at: At | None = Field(
        default=None, description="the first instant at which they no longer count; null: they never expire"
    )


class LotsIn(Body):
    """Lots to take in, all or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "lots": [
                    {
                        "lot_id": "order-1001",
                        "customer": "u1",
                        "points": 250,
                        "earned_at": "2026-03-01T12:00:00Z",
                        "expires_at": "2027-03-01T12:00:00Z",
                    }
                ]
            }
        }
    )

    lots: list[LotIn] = Field(min_length=1, max_length=MOST)


class RedemptionIn(Body):
    """Points spent `at` an instant (now)."""

    redemption_id: Id
    customer: Id = Field(description="the shop's own id of the customer")
    points: Points
    at: At | None = None


class RedemptionsIn(Body):
    """Redemptions to take in, all or none."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {"redemptions": [{"redemption_id": "r-7", "customer": "u1", "points": 100}]},
        }
    )

    redemptions: list[RedemptionIn] = Field(min_length=1, max_length=MOST)


class TakenOut(BaseModel):
    """`created` are new, `unchanged` stood like that already."""

    created: int
    unchanged: int


class LotOut(BaseModel):
    """A lot; `remaining` counts now, so it is 0 before the lot is earned and once it has expired."""

    lot_id: str
    points: int
    spent: int
    remaining: int
    earned_at: str
    expires_at: str | None


class RedemptionOut(BaseModel):
    """A redemption; `uncovered`: an event told of it, and no lots cover it, so it draws nothing."""

    redemption_id: str
    points: int
    at: str
    state: str


class NextExpiry(BaseModel):
    """How many points expire next, and when."""

    at: str
    points: int


class LoyaltyOut(BaseModel):
    """A customer's loyalty now; the newest 1000 lots and redemptions."""

    customer: str
    balance: int
    tier: str | None
    next_tier: str | None = Field(description="the one above in the programme's tiers")
    next_expiry: NextExpiry | None
    lots: list[LotOut]
    redemptions: list[RedemptionOut]
