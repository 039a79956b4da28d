"""How many members segments have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from sqlalchemy import text

from push_server.db import SiteSession

MOST = 10

# A set of segments is one number: a bit for each. Every answer adds up from the counts of these sets.
_SETS = text(
    "select held, count(*) from ("
    "select sum(1 << (array_position(cast(:segments as bigint[]), segment_id) - 1)) as held"
    " from segment_member where segment_id = any(:segments) group by customer_id"
    ") as customers group by held"
)


@dataclass(frozen=True, slots=True)
class Overlap:
    """Counts of members; segments go by their place in the list that was asked for."""

    sizes: list[int]
    exclusive: list[int]  # in this one, and in none of the others
    pairs: dict[tuple[int, int], int]
    any: int
    all: int


def overlap(session: SiteSession, segment_ids: Sequence[int]) -> Overlap:
    """What the stored members of these segments have in common, from 2 to MOST of them."""
    counts = {int(held): many for held, many in session.sql(_SETS, {"segments": list(segment_ids)})}
    places = range(len(segment_ids))

    def together(bits: int) -> int:
        return sum(many for held, many in counts.items() if held & bits == bits)

    return Overlap(
        sizes=[together(1 << place) for place in places],
        exclusive=[counts.get(1 << place, 0) for place in places],
        pairs={(one, other): together(1 << one | 1 << other) for one, other in combinations(places, 2)},
        any=sum(counts.values()),
        all=together((1 << len(segment_ids)) - 1),
    )


def jaccard(one: int, other: int, both: int) -> float | None:
    """The share of the members of either who are in both; None when there are none."""
    either = one + other - both
    return round(both / either, 6) if either else None
