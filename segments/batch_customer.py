"""What is asked of customers themselves, their points, browsers and messages; `memory_customer` says it of one."""

from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import Any

import numpy as np

from segments.batch_columns import Coded, Numbers, Truths
from segments.batch_compare import passing, sums
from segments.batch_view import View, grouped
from segments.calendar import celebrating, zones
from segments.core import Attribute, Message, Op, Points, Sample, Subscribed, Tier, passes
from segments.history import instant, micros
from segments.moments import is_day
from segments.values import tested


def attribute(leaf: Attribute, view: View) -> Truths:
    """Each distinct value is tested once."""
    column = view.batch.attributes[leaf.name]
    return _anniversary(leaf, column, view) if leaf.test.op is Op.ANNIVERSARY_WITHIN else view.fits(leaf.test, column)


def _anniversary(leaf: Attribute, column: Coded, view: View) -> Truths:
    """Everywhere on earth it is one of few dates."""
    days: Coded = view.once(("days", leaf.name), lambda: Coded(column.codes, list(map(_day, column.values))))
    today: Coded = view.once("today", lambda: _today(view))
    near = [celebrating(date, leaf.test.operand.days) for date in today.values]  # type: ignore[union-attr]
    table = np.array([[day in each for day in days.values] for each in near], np.bool_)
    return table[today.codes, days.codes] if len(days.codes) else np.zeros(0, np.bool_)


def _day(value: Any) -> str | None:
    """`02-29` of a date that exists."""
    return value[5:10] if isinstance(value, str) and _is_day(value) else None


_is_day = lru_cache(maxsize=65_536)(is_day)  # the dates of birth that there are, as often as they come


def _today(view: View) -> Coded:
    """The date where each customer lives."""
    assert view.batch.zones is not None
    named = [zone if zone in zones() else view.world.zone for zone in view.batch.zones.values]
    dates = [instant(view.at).astimezone(zones()[zone]).date() for zone in named]
    distinct = sorted(set(dates))
    return Coded(np.array([distinct.index(date) for date in dates], np.int64)[view.batch.zones.codes], distinct)


def sample(leaf: Sample, view: View) -> Truths:
    """One hash a customer and salt."""
    hashes: Numbers = view.once(("hashes", leaf.salt), lambda: _hashes(leaf.salt, view))
    return hashes < leaf.bound


def _hashes(salt: str, view: View) -> Numbers:
    assert view.batch.identities is not None
    digests = (sha256(f"{salt}:{identity}".encode()).digest() for identity in view.batch.identities)
    return np.fromiter((int.from_bytes(digest[:4]) for digest in digests), np.int64, len(view.batch))


def points(leaf: Points, view: View) -> Truths | None:
    """The sum over the lots alive; None where one might be too large for 64 bits."""
    lots, at = view.batch.lots, view.at
    assert lots is not None
    chosen = (lots.since <= at) & (lots.until > at)
    if leaf.within is not None:
        chosen &= (lots.expires_at > at) & (lots.expires_at <= at + micros(leaf.within))
    groups = grouped(lots.owner, chosen)
    held = sums(lots.points[groups.rows], groups.starts, groups.counts)
    if held is None:
        return None
    return view.spread(groups.owners, passing(leaf.compare, held), passes(leaf.compare, Decimal(0)))


def tier(leaf: Tier, view: View) -> Truths:
    """By the newest change of each."""
    changes = view.batch.tiers
    assert changes is not None
    newest = grouped(changes.owner, changes.ts <= view.at)
    none = tested(leaf.test)(None, view.at, view.world.zone)
    return view.spread(newest.owners, view.fits(leaf.test, changes.tier)[newest.last], none)


def message(leaf: Message, view: View) -> Truths:
    """Some message of the campaign has its outcome in the window."""
    table = view.batch.messages[leaf.outcome]
    chosen = view.in_window(leaf.window, table.ts) & (table.since <= view.at) & (table.until > view.at)
    if leaf.campaign is not None:
        chosen &= np.array([each == leaf.campaign for each in table.campaign.values], np.bool_)[table.campaign.codes]
    return view.spread(table.owner[chosen], np.ones(int(chosen.sum()), np.bool_))


def subscribed(leaf: Subscribed, view: View) -> Truths:
    """Some active browser passes all the tests."""
    table = view.batch.browsers
    assert table is not None
    chosen = (table.created_at <= view.at) & (table.ended_at > view.at)
    for name, test in leaf.facts:
        chosen &= view.fits(test, table.facts[name])
    return view.spread(table.owner[chosen], np.ones(int(chosen.sum()), np.bool_))
