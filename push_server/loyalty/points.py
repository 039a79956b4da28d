"""Which lots a customer's redemptions draw from, and what each lot is worth when: pure decisions, no database.

A redemption draws, at its own instant, from the lots then alive (`earned_at <= at < expires_at`), the earliest expiry
first and lots without one last; among equals the one earned first, then by lot id. So whenever any way of drawing
covers all redemptions, this one does: what expires first is of the least use to later ones. Hence a further lot never
leaves a redemption uncovered, but a redemption that comes in late for an instant in the past may leave a later one so.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from heapq import heappop, heappush

NEVER = datetime.max.replace(tzinfo=UTC)
"""Stands for the expiry of a lot that has none."""
MOST_FAILURES = 200


@dataclass(frozen=True, slots=True)
class Lot:
    """Points earned together. `ref` is the row."""

    ref: int
    lot_id: str
    points: int
    earned_at: datetime
    expires_at: datetime | None

    @property
    def order(self) -> tuple[datetime, datetime, str]:
        """Sorts lots in the order in which they are drawn from."""
        return self.expires_at or NEVER, self.earned_at, self.lot_id


@dataclass(frozen=True, slots=True)
class Redemption:
    """Points spent at an instant. `ref` is the row, later ones higher."""

    ref: int
    points: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Draw:
    """What one redemption takes from one lot."""

    lot: Lot
    at: datetime
    points: int


@dataclass(frozen=True, slots=True)
class Version:
    """So many points of the lot are unspent from `since` until `until` (NEVER: for ever)."""

    lot: Lot
    since: datetime
    until: datetime
    points: int


def draws(lots: Iterable[Lot], redemptions: Iterable[Redemption]) -> list[Draw] | None:
    """What the redemptions draw, in the order of their instants; None when the lots do not cover them all."""
    coming = sorted(lots, key=lambda lot: lot.earned_at, reverse=True)
    alive: list[tuple[tuple[datetime, datetime, str], int, Lot]] = []
    rest: dict[int, int] = {}
    found: list[Draw] = []
    for redemption in sorted(redemptions, key=lambda each: (each.at, each.ref)):
        while coming and coming[-1].earned_at <= redemption.at:
            lot = coming.pop()
            rest[lot.ref] = lot.points
            heappush(alive, (lot.order, lot.ref, lot))
        wanted = redemption.points
        while wanted:
            if not alive:
                return None
            lot = alive[0][2]
            if (lot.expires_at or NEVER) <= redemption.at or not rest[lot.ref]:
                heappop(alive)
                continue
            taken = min(wanted, rest[lot.ref])
            rest[lot.ref] -= taken
            wanted -= taken
            found.append(Draw(lot, redemption.at, taken))
    return found


def settle(
    lots: Sequence[Lot], drawn: Sequence[Redemption], waiting: Iterable[Redemption]
) -> tuple[list[Draw], list[Redemption]]:
    """All draws, and which of those that wait are let in: in the order of their instants, where all who are in stay
    covered.

    Whole runs are tried before single ones, and after MOST_FAILURES the rest goes on waiting, so that thousands of one
    customer's redemptions take no quadratic time. Those that no lot could cover at their instant do not count there.
    """
    inside, newly, failures = list(drawn), list[Redemption](), 0
    found = draws(lots, inside)
    assert found is not None, "a further lot leaves nothing uncovered"
    room = sum(lot.points for lot in lots) - sum(each.points for each in inside)
    possible = [each for each in waiting if _alive(lots, each.at) >= each.points]
    runs = [sorted(possible, key=lambda each: (each.at, each.ref))]
    while runs and failures < MOST_FAILURES:
        run = runs.pop()
        wanted = sum(each.points for each in run)
        tried = draws(lots, inside + run) if wanted <= room else None
        if tried is not None:
            found, room = tried, room - wanted
            inside += run
            newly += run
        elif len(run) > 1:
            runs += [run[len(run) // 2 :], run[: len(run) // 2]]
        else:
            failures += 1
    return found, newly


def _alive(lots: Iterable[Lot], at: datetime) -> int:
    """The points of the lots alive at an instant, spent ones included."""
    return sum(lot.points for lot in lots if lot.earned_at <= at < (lot.expires_at or NEVER))


def versions(lots: Iterable[Lot], drawn: Sequence[Draw]) -> list[Version]:
    """What is unspent of each lot over time; nothing where it is spent up or not alive."""
    of_lot: dict[int, list[Draw]] = {}
    for draw in drawn:
        of_lot.setdefault(draw.lot.ref, []).append(draw)
    found = []
    for lot in lots:
        since, points, end = lot.earned_at, lot.points, lot.expires_at or NEVER
        for draw in of_lot.get(lot.ref, ()):
            if draw.at > since:
                found.append(Version(lot, since, draw.at, points))
            since, points = draw.at, points - draw.points
        if points and since < end:
            found.append(Version(lot, since, end, points))
    return found
