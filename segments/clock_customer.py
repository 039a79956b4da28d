"""When what is asked of the customer himself, his browsers and the messages to him can turn a leaf."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache, reduce

from segments.calendar import zones
from segments.clock_spans import Clock, Span, State, lasting, of_union, stepping
from segments.core import Attribute, Message, Op, Sample, Subscribed, Tier
from segments.history import ALWAYS, NEVER, History, World, instant, micros
from segments.memory import truth_of
from segments.moments import is_day

_DAY = timedelta(days=1)


def attribute(leaf: Attribute) -> Clock:
    """A value passes for a time, or always, or never; an anniversary from a local midnight to another."""
    if leaf.test.op is Op.ANNIVERSARY_WITHIN:
        return _anniversary(leaf)
    name, span_of = leaf.name, lasting(leaf.test)

    def state(history: History, world: World, at: int) -> State:
        span = span_of(history.attributes.get(name), world.zone)
        return of_union(() if span is None else (span,), at)

    return state


def _anniversary(leaf: Attribute) -> Clock:
    name, truth = leaf.name, truth_of(leaf)
    ahead: timedelta = leaf.test.operand  # type: ignore[assignment]

    def state(history: History, world: World, at: int) -> State:
        value = history.attributes.get(name)
        if not isinstance(value, str) or not is_day(value):
            return State(False, NEVER)
        zone = world.zone if history.zone is None or history.zone not in zones() else history.zone
        year = instant(at).year
        days = [_celebrated(value, each) for each in (year - 1, year, year + 1, year + 2)]
        turns = {turn for day in days for local in (day - ahead, day + _DAY) for turn in midnights(local, zone)}
        return stepping(truth, sorted(turn for turn in turns if turn > at), history, world, at)

    return state


def _celebrated(born: str, year: int) -> date:
    """The day of that year on which someone who writes his date of birth so celebrates."""
    month, day = int(born[5:7]), int(born[8:10])
    try:
        return date(year, month, day)
    except ValueError:
        return date(year, 2, 28)


@lru_cache(maxsize=65_536)
def midnights(day: date, zone: str) -> tuple[int, ...]:
    """The instants at which the local date can become this one: midnight, or a change of the clocks around it."""
    place = zones()[zone]
    before, after = (datetime(day.year, day.month, day.day, tzinfo=place).replace(fold=fold) for fold in (0, 1))
    found = {micros(before), micros(after)}
    low, high = min(found) - micros(_DAY), max(found) + micros(_DAY)
    shift = _offset(high, zone)
    if _offset(low, zone) != shift:
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _offset(middle, zone) == shift else (middle, high)
        found.add(high)
    return tuple(sorted(found))


def _offset(at: int, zone: str) -> timedelta | None:
    return instant(at).astimezone(zones()[zone]).utcoffset()


def tier(leaf: Tier) -> Clock:
    """Each change counts until the next one."""
    span_of = lasting(leaf.test)

    def state(history: History, world: World, at: int) -> State:
        told = sorted(history.tiers, key=lambda change: (change.at, change.seq))
        starts = [ALWAYS, *(change.at for change in told), NEVER]
        found = (span_of(name, world.zone) for name in (None, *(change.tier for change in told)))
        spans = (_both(span, (starts[place], starts[place + 1])) for place, span in enumerate(found) if span)
        return of_union(spans, at)

    return state


def message(leaf: Message) -> Clock:
    """Any one in the window."""
    window, length = leaf.window, None if leaf.window.within is None else micros(leaf.window.within)
    first = ALWAYS if window.start is None else micros(window.start)
    last = NEVER if window.end is None else micros(window.end)

    def spans(history: History) -> Iterator[Span]:
        for each in history.messages.get(leaf.outcome, ()):
            if (leaf.campaign is None or each.campaign == leaf.campaign) and first <= each.ts < last:
                end = each.until if length is None else min(each.until, each.ts + length)
                yield max(each.ts, each.since), end

    return lambda history, world, at: of_union(spans(history), at)


def subscribed(leaf: Subscribed) -> Clock:
    """Any one browser while all its facts pass."""
    tests = [(name, lasting(test)) for name, test in leaf.facts]

    def spans(history: History, zone: str) -> Iterator[Span]:
        for each in history.browsers:
            passing = [span_of(each.facts.get(name), zone) for name, span_of in tests]
            if None not in passing:
                yield reduce(_both, (span for span in passing if span), (each.created_at, each.ended_at))

    return lambda history, world, at: of_union(spans(history, world.zone), at)


def sample(leaf: Sample) -> Clock:
    """Never."""
    truth = truth_of(leaf)
    return lambda history, world, at: State(truth(history, world, at), NEVER)


def _both(one: Span, other: Span) -> Span:
    return max(one[0], other[0]), min(one[1], other[1])
