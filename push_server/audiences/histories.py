"""Loads customers' facts from PostgreSQL into the columns that rules are evaluated over."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np
import psycopg

from push_server.audiences.histories_rows import Rows, fetch
from push_server.audiences.histories_sql import FACTS, parts
from segments.batch_columns import (
    Batch,
    Browsers,
    Coded,
    Happenings,
    Lots,
    Messages,
    Numbers,
    RolledUps,
    TierChanges,
    coded,
    read_json,
)
from segments.core import Outcome
from segments.history import ALWAYS, instant, micros
from segments.needs import Needs


def load(conn: psycopg.Connection[Any], site_id: int, customer_ids: Iterable[int], needs: Needs, at: int) -> Batch:
    """The facts of these customers, in any order, that `needs` names, for instants from `at` on.

    Future facts are among them; events are not that are too old at `at` for every rule. Not to be called inside
    `rules.evaluation`, whose settings are for statements over everyone.
    """
    ids = np.unique(np.fromiter(customer_ids, np.int64))
    found = fetch(conn, parts(needs), ids, parameters(site_id, needs, at))
    batch = Batch(ids, np.isin(np.arange(len(ids)), found["customers"].numbers["owner"]))
    _customers(batch, found["customers"], sorted(needs.attributes))
    batch.events = _events(found, needs, at, len(ids))
    if "rolled_up" in found:
        batch.rolled_up = _rolled_up(found["rolled_up"], sorted(needs.rolled_up), len(ids))
    if "orders" in found:
        batch.orders = _happenings(found["orders"].ordered("owner", "ts"), len(ids))
    if "lines" in found:
        batch.lines = _happenings(found["lines"].ordered("owner", "ts"), len(ids))
    _rest(batch, found)
    happenings = [*batch.events.values(), *([] if batch.lines is None else [batch.lines])]
    columns = [column for table in happenings for column in (table.product, table.category) if column is not None]
    batch.texts = _texts(conn, [*columns, *(table.category for table in batch.rolled_up.values())])
    return batch


def parameters(site_id: int, needs: Needs, at: int) -> dict[str, Any]:
    """What the statement of `parts` is given, but for the customers."""
    return {
        "site": site_id,
        "attributes": sorted(needs.attributes),
        "order_properties": sorted(needs.orders or ()),
        "line_properties": sorted((needs.lines or set()) - {"quantity"}),
        "oldest": sorted(needs.oldest),
        "newest": sorted(needs.newest),
        "at": instant(at),
        "this_year": _new_year(instant(at).year),
        "last_year": _new_year(instant(at).year - 1),
        **_asked("events", {name: needs.reach[name] for name in needs.narrow}, at),
        "events_upto": [
            _after(needs.free_reach[name], at) if name in needs.free_reach else "infinity"
            for name in sorted(needs.narrow)
        ],
        **_asked("bodies", needs.free_reach, at),
        **_properties_asked(needs),
        "rolled_up": sorted(needs.rolled_up),
    }


def _asked(what: str, reach: Mapping[str, timedelta | None], at: int) -> dict[str, Any]:
    """Which events since when."""
    names = sorted(reach)
    backs = [reach[name] for name in names]
    return {what: names, f"{what}_after": [_after(back, at) for back in backs]}


def _new_year(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC)


def _after(back: timedelta | None, at: int) -> str:
    return "-infinity" if back is None else instant(at - micros(back)).isoformat()


def _properties_asked(needs: Needs) -> dict[str, Any]:
    """The first free property of each event's name, the second of each, and so on."""
    each = [sorted(needs.events[name]) for name in sorted(needs.free_reach)]
    return {f"bodies_{place}": list(column) for place, column in enumerate(zip_longest(*each), 1)}


def _customers(batch: Batch, rows: Rows, names: Sequence[str]) -> None:
    def of_everyone(column: str) -> list[str]:
        """With an empty text for those who are not known."""
        texts = [""] * len(batch)
        for owner, text in zip(rows.numbers["owner"].tolist(), rows.texts[column], strict=True):
            texts[owner] = text
        return texts

    if "identity" in rows.texts:
        batch.identities = [read_json(text) if text else "" for text in of_everyone("identity")]
    if names:
        batch.zones = coded(of_everyone("zone"), read_json)
    batch.attributes = {name: coded(of_everyone(f"attribute {name}"), read_json) for name in names}


def _events(rows: dict[str, Rows], needs: Needs, at: int, customers: int) -> dict[str, Happenings]:
    names, with_bodies, bodies = sorted(needs.reach), sorted(needs.free_reach), rows.get("bodies")
    if not names:
        return {}
    backs = [needs.reach[name] for name in names]
    parts = [
        _beyond(_placed(rows[end], sorted(asked), names), backs, at)
        for end, asked in (("oldest", needs.oldest), ("newest", needs.newest))
        if asked
    ]
    if "events" in rows:
        parts.append(_placed(rows["events"], sorted(needs.narrow), names))
    if bodies is not None:
        parts.append(_placed(bodies, with_bodies, names))
    events = parts[0].with_more(*parts[1:])
    found = {name: _happenings(part, customers) for name, part in zip(names, _by_kind(events, len(names)), strict=True)}
    if bodies is not None:
        for name, part in zip(with_bodies, _by_kind(bodies, len(with_bodies)), strict=True):
            found[name].properties = _laid_beside(found[name], part, sorted(needs.events[name]))
    return found


def _placed(rows: Rows, asked: Sequence[str], names: Sequence[str]) -> Rows:
    """The rows without texts; `kind`, till now a place among the names that were asked for, becomes one among all."""
    places = np.array([names.index(name) + 1 for name in asked], np.int64)
    return Rows(rows.numbers | {"kind": places[rows.numbers["kind"] - 1]}, {})


def _beyond(rows: Rows, backs: Sequence[timedelta | None], at: int) -> Rows:
    """Those that are not loaded anyway."""
    since = np.array([ALWAYS if back is None else at - micros(back) for back in backs], np.int64)
    return rows.chosen(rows.numbers["ts"] <= since[rows.numbers["kind"] - 1])


def _by_kind(rows: Rows, kinds: int) -> list[Rows]:
    """In an order in which rows that come twice are those that do not differ."""
    rows = rows.ordered("kind", "owner", "ts", "category")
    bounds = np.searchsorted(rows.numbers["kind"], np.arange(1, kinds + 2)).tolist()
    return [rows.take(slice(*ends)) for ends in pairwise(bounds)]


def _rolled_up(rows: Rows, names: Sequence[str], customers: int) -> dict[str, RolledUps]:
    parts = zip(names, _by_kind(rows, len(names)), strict=True)
    return {name: _rollups(part, customers) for name, part in parts if len(part)}


def _rollups(rows: Rows, customers: int) -> RolledUps:
    numbers = rows.numbers
    texts = {name: coded(column, read_json) for name, column in rows.texts.items()}
    return RolledUps(
        owner=numbers["owner"],
        customers=customers,
        category=numbers["category"],
        many=numbers["many"],
        first=numbers["first"],
        last=numbers["ts"],
        **texts,
    )


def _laid_beside(events: Happenings, bodies: Rows, names: Sequence[str]) -> dict[str, Coded]:
    """Free properties, None where they were not asked; `bodies` are the newest of the events of each customer."""
    many, owners = len(events.owner), np.arange(events.customers + 1)
    newest = np.searchsorted(bodies.numbers["owner"], owners)
    ends = events.bounds[1:]
    place = np.arange(len(bodies)) - np.repeat(newest[1:], np.diff(newest)) + np.repeat(ends, np.diff(newest))
    found = {}
    for number, name in enumerate(names, 1):
        column = coded(["", *bodies.texts[f"property {number}"]], read_json)
        codes = np.zeros(many, np.int64)
        codes[place] = column.codes[1:]
        found[name] = Coded(codes, column.values)
    return found


def _happenings(rows: Rows, customers: int) -> Happenings:
    numbers, texts = rows.numbers, rows.texts
    mark = "property "
    return Happenings(
        owner=numbers["owner"],
        customers=customers,
        ts=numbers["ts"],
        since=numbers.get("since"),
        until=numbers.get("until"),
        value=numbers.get("value"),
        quantity=coded(texts["quantity"], read_json) if "quantity" in texts else None,
        category=numbers.get("category"),
        product=numbers.get("product"),
        properties={
            name.removeprefix(mark): coded(column, read_json) for name, column in texts.items() if name.startswith(mark)
        },
    )


def _rest(batch: Batch, found: dict[str, Rows]) -> None:
    """Loyalty, browsers and messages."""
    many, messages = len(batch), dict[Outcome, Messages]()
    if "lots" in found:
        batch.lots = Lots(customers=many, **found["lots"].ordered("owner").numbers)
    if "tiers" in found:
        changes = found["tiers"].ordered("owner", "ts", "seq")
        batch.tiers = TierChanges(customers=many, **changes.numbers, tier=coded(changes.texts["tier"], read_json))
    if "browsers" in found:
        browsers = found["browsers"].ordered("owner")
        facts = {name: coded(browsers.texts[f"fact {name}"], read_json) for name in FACTS}
        batch.browsers = Browsers(customers=many, **browsers.numbers, facts=facts)
    for outcome in (outcome for outcome in Outcome if outcome in found):
        rows = found[outcome].ordered("owner", "ts")
        messages[outcome] = Messages(customers=many, **rows.numbers, campaign=coded(rows.texts["campaign"], read_json))
    batch.messages = messages


def _texts(conn: psycopg.Connection[Any], columns: Sequence[Numbers]) -> dict[int, str]:
    """The dictionary entries that occur."""
    if not columns:
        return {}
    ids = np.unique(np.concatenate(columns)).tolist()
    return dict(conn.execute("select id, text from term where id = any(%s)", [ids]).fetchall())
