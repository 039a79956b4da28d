"""Places in the order of what customers are worth, and how far one has moved.

A place is counted from the least worth, from 1. Whatever stands there has `below` customers who are worth less, and
`upto` who are worth no more: while the place is between those two, nothing has moved.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Final

from sqlalchemy import text

from push_server.db import SiteSession
from segments.core import Rank, Rfm
from segments.sql_rank import SCORED_FROM

Border = Decimal | int | None


@dataclass(frozen=True, slots=True)
class Place:
    """A share of the customers: of the best of everyone ranked, or of the least of those who have a worth."""

    share: Decimal
    is_from_best: bool

    def position(self, ranked: int, worthy: int) -> int:
        """From the least worth; 0 where there is none. Whoever has no worth is behind all, and at no place."""
        if not self.is_from_best:
            return math.ceil(worthy * self.share)
        many = min(math.ceil(ranked * self.share), worthy)
        return worthy - many + 1 if many > 0 else 0


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands at a place."""

    worth: Decimal | int
    below: int
    upto: int

    def after(self, was: Sequence[Decimal | int], now: Sequence[Decimal | int]) -> "Standing":
        """When customers who were worth so much are worth so much now; both ascending, without those worth nothing."""
        below = bisect_left(now, self.worth) - bisect_left(was, self.worth)
        upto = bisect_right(now, self.worth) - bisect_right(was, self.worth)
        return replace(self, below=self.below + below, upto=self.upto + upto)


def places_of(leaf: Rank | Rfm) -> tuple[Place, ...]:
    """Those that its border hangs on, by each of its measures."""
    if isinstance(leaf, Rank):
        return (Place(leaf.top_percent / 100, is_from_best=True),)
    return tuple(Place(Decimal(step - 1) / 5, is_from_best=False) for step in SCORED_FROM)


def found_anew(session: SiteSession, measure_id: int, positions: Iterable[int]) -> dict[int, Standing]:
    """What stands at these positions: everyone is read, in order, once."""
    rows = session.sql(_ANEW, {"measure": measure_id, "positions": list(positions)})
    return {row.position: Standing(row.worth, row.below, row.upto) for row in rows}


def moved(session: SiteSession, measure_id: int, standing: Standing, position: int) -> Standing:
    """What stands at the position, which may be another one than before: only those in between are read."""
    place = {"measure": measure_id, "worth": standing.worth}
    if position > standing.upto:
        row = session.sql(_UP, place | {"many": position - standing.upto}).one()
        below = standing.upto + row.passed
        return Standing(row.worth, below, below + row.same)
    if position <= standing.below:
        row = session.sql(_DOWN, place | {"many": standing.below - position + 1}).one()
        upto = standing.below - row.passed
        return Standing(row.worth, upto - row.same, upto)
    return standing


def read_standing(session: SiteSession, measure_id: int) -> dict[Place, Standing]:
    """What is stored of a measure's places."""
    rows = session.sql(_READ, {"measure": measure_id})
    return {Place(row.share, row.is_from_best): Standing(row.worth, row.below, row.upto) for row in rows}


def write_standing(
    session: SiteSession, measure_id: int, counts: tuple[int, int], standing: Mapping[Place, Standing]
) -> None:
    """Store these places, and how many customers are ranked and have a worth, instead of what was stored."""
    session.sql(_COUNTED, {"measure": measure_id, "ranked": counts[0], "worthy": counts[1]})
    session.sql(_DELETE, {"measure": measure_id})
    rows = [{"measure": measure_id, **asdict(place), **asdict(each)} for place, each in standing.items()]
    for row in rows:
        session.sql(_WRITE, row)


def number(stored: Decimal | int | None) -> Border:
    """A stored worth or border, whole ones as the integers that they were before."""
    return int(stored) if stored is not None and stored == int(stored) else stored


_READ: Final = text("select share, is_from_best, worth, below, upto from worth_place where measure_id = :measure")
_COUNTED: Final = text("update worth_measure set ranked = :ranked, worthy = :worthy where id = :measure")
_DELETE: Final = text("delete from worth_place where measure_id = :measure")
_WRITE: Final = text(
    "insert into worth_place (measure_id, share, is_from_best, worth, below, upto)"
    " values (:measure, :share, :is_from_best, :worth, :below, :upto)"
)
_ANEW: Final = text(
    """
    select p.position, g.worth, g.upto - g.same as below, g.upto from unnest(cast(:positions as int[])) as p (position)
    join (select worth, count(*) as same, cast(sum(count(*)) over (order by worth) as bigint) as upto
          from customer_worth where measure_id = :measure and worth is not null group by worth) g
    on g.upto - g.same < p.position and g.upto >= p.position
    """
)
_FOUND = """
    select f.worth, (select count(*) from passed p where p.worth <> f.worth) as passed,
           (select count(*) from customer_worth where measure_id = :measure and worth = f.worth) as same
    from found f
"""
_UP: Final = text(
    f"""
    with passed as (select worth from customer_worth where measure_id = :measure and worth > :worth
                    order by worth limit :many), found as (select max(worth) as worth from passed) {_FOUND}
    """  # noqa: S608
)
_DOWN: Final = text(
    f"""
    with passed as (select worth from customer_worth where measure_id = :measure and worth < :worth
                    order by worth desc limit :many), found as (select min(worth) as worth from passed) {_FOUND}
    """  # noqa: S608
)
