"""How many members segments have in common."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np

from push_server.audiences.histories_rows import array_numbers
from push_server.db import SiteSession
from segments.batch_columns import Numbers

MOST: Final = 10
_PLACE: Final = 4  # bits that hold a segment's place

# One statement, so that all are of one moment; in the order of the primary key, which costs no sorting.
_MEMBERS = (
    "select (select array_agg(customer_id order by customer_id) from segment_member where segment_id = asked.id)"
    " from unnest(%s::bigint[]) with ordinality as asked (id, place) order by place"
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
    counts = _sets(_members(session, segment_ids))
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


def _members(session: SiteSession, segment_ids: Sequence[int]) -> list[Numbers]:
    """The customer ids of each segment, ascending."""
    with session.raw.cursor(binary=True) as cursor:
        cursor.execute(_MEMBERS, [list(segment_ids)])
        result = cursor.pgresult
        assert result is not None
        arrays = [result.get_value(row, 0) for row in range(result.ntuples)]
    return [np.empty(0, np.int64) if array is None else array_numbers(array, "id") for array in arrays]


def _sets(members: list[Numbers]) -> dict[int, int]:
    """How many customers are in exactly which segments; such a set is one number, a bit for each segment."""
    each = np.concatenate([(ids << _PLACE) | place for place, ids in enumerate(members)])
    each.sort(kind="stable")  # which merges what is in order already
    if not len(each):
        return {}
    customers = each >> _PLACE
    first = np.flatnonzero(np.r_[True, customers[1:] != customers[:-1]])
    held = np.bitwise_or.reduceat(1 << (each & ((1 << _PLACE) - 1)), first)
    counts = np.bincount(held)
    return {int(bits): int(counts[bits]) for bits in np.flatnonzero(counts)}


def jaccard(one: int, other: int, both: int) -> float | None:
    """The share of the members of either who are in both; None when there are none."""
    either = one + other - both
    return round(both / either, 6) if either else None
