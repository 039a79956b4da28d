"""Which lots redemptions draw from, against every way of handing points out one by one."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from push_server.loyalty import points
from push_server.loyalty.points import Lot, Redemption, draws, settle, versions

START = datetime(2026, 3, 1, tzinfo=UTC)


def hour(number: int) -> datetime:
    return START + timedelta(hours=number)


def lot(ref: int, amount: int, earned: int, expires: int | None) -> Lot:
    return Lot(ref, f"l{ref}", amount, hour(earned), None if expires is None else hour(expires))


# Lots that last and redemptions of one point make many cases in which the order of drawing decides.
hours = st.integers(0, 6)
some_lots = st.lists(
    st.tuples(st.integers(1, 2), st.integers(0, 3), st.none() | st.integers(3, 6)), min_size=2, max_size=4
).map(lambda rows: [lot(ref, *row) for ref, row in enumerate(rows)])
some_redemptions = st.lists(st.tuples(st.sampled_from([1, 1, 1, 2]), hours), max_size=4).map(
    lambda rows: [Redemption(ref, amount, hour(at)) for ref, (amount, at) in enumerate(rows)]
)


def coverable(lots: list[Lot], redemptions: list[Redemption]) -> bool:
    """Each point that is spent finds one of its own, by bipartite matching (Kuhn)."""
    units = [lot for lot in lots for _ in range(lot.points)]
    wanted = [each.at for each in redemptions for _ in range(each.points)]
    given_to: dict[int, int] = {}

    def place(want: int, seen: set[int]) -> bool:
        for unit, one in enumerate(units):
            alive = one.earned_at <= wanted[want] and (one.expires_at is None or wanted[want] < one.expires_at)
            if alive and unit not in seen:
                seen.add(unit)
                if unit not in given_to or place(given_to[unit], seen):
                    given_to[unit] = want
                    return True
        return False

    return all(place(want, set()) for want in range(len(wanted)))


@settings(max_examples=500, deadline=None)
@given(some_lots, some_redemptions)
def test_whatever_can_be_covered_is(lots: list[Lot], redemptions: list[Redemption]) -> None:
    found = draws(lots, redemptions)
    assert (found is not None) == coverable(lots, redemptions)
    for version in versions(lots, found or []):
        spent = sum(draw.points for draw in found or [] if draw.lot == version.lot and draw.at <= version.since)
        assert version.points == version.lot.points - spent > 0
        assert version.lot.earned_at <= version.since < version.until <= (version.lot.expires_at or points.NEVER)


@settings(max_examples=300, deadline=None)
@given(some_lots, some_redemptions)
def test_those_that_wait_are_let_in_as_if_one_by_one(lots: list[Lot], waiting: list[Redemption]) -> None:
    inside: list[Redemption] = []
    for each in sorted(waiting, key=lambda each: (each.at, each.ref)):
        if coverable(lots, [*inside, each]):
            inside.append(each)
    found, newly = settle(lots, [], waiting)
    assert newly == inside
    assert found == draws(lots, inside)
