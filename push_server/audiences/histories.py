"""Loads customers' facts from PostgreSQL into the columns that rules are evaluated over."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import psycopg

from push_server.audiences.histories_rows import Rows, fetch
from push_server.audiences.histories_sql import FACTS, parts
from segments.batch_columns import (
    Batch,
    Browsers,
    Happenings,
    Lots,
    Messages,
    TierChanges,
    coded,
    read_json,
)
from segments.core import Outcome
from segments.history import instant, micros
from segments.needs import Needs


def load(conn: psycopg.Connection[Any], site_id: int, customer_ids: Iterable[int], needs: Needs, at: int) -> Batch:
    """The facts of these customers, in any order, that `needs` names, for instants from `at` on.

    Future facts are among them; events are not that are too old at `at` for every rule. Not to be called inside
    `rules.evaluation`, whose settings are for statements over everyone.
    """
    ids = np.unique(np.fromiter(customer_ids, np.int64))
    narrow = sorted(name for name, free in needs.events.items() if not free)
    bodies = sorted(name for name, free in needs.events.items() if free)
    names = sorted(needs.attributes)
    asked = {"site": site_id, "attributes": names, **_asked("events", narrow, needs, at)}
    found = fetch(conn, parts(needs), ids, {**asked, **_asked("bodies", bodies, needs, at)})
    batch = Batch(ids, np.isin(np.arange(len(ids)), found["customers"].numbers["owner"]))
    _customers(batch, found["customers"], names)
    batch.events = {**_events(found.get("events"), narrow, len(ids)), **_events(found.get("bodies"), bodies, len(ids))}
    if "orders" in found:
        batch.orders = _happenings(found["orders"].ordered("owner", "ts"), len(ids))
    if "lines" in found:
        batch.lines = _happenings(found["lines"].ordered("owner", "ts"), len(ids))
    _rest(batch, found)
    batch.texts = _texts(conn, [*batch.events.values(), *([] if batch.lines is None else [batch.lines])])
    return batch


def _asked(what: str, names: Sequence[str], needs: Needs, at: int) -> dict[str, Any]:
    """Which events since when."""
    reaches = [needs.reach[name] for name in names]
    after = ["-infinity" if reach is None else instant(at - micros(reach)).isoformat() for reach in reaches]
    return {what: list(names), f"{what}_after": after}


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


def _events(rows: Rows | None, names: Sequence[str], customers: int) -> dict[str, Happenings]:
    if rows is None:
        return {}
    rows = rows.ordered("kind", "owner", "ts")
    bounds = np.searchsorted(rows.numbers["kind"], np.arange(1, len(names) + 2)).tolist()
    parts = [rows.take(slice(*ends)) for ends in pairwise(bounds)]
    return {name: _happenings(part, customers) for name, part in zip(names, parts, strict=True)}


def _happenings(rows: Rows, customers: int) -> Happenings:
    numbers, texts = rows.numbers, rows.texts
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
        properties=texts.get("properties"),
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


def _texts(conn: psycopg.Connection[Any], tables: Iterable[Happenings]) -> dict[int, str]:
    """The dictionary entries that occur."""
    columns = [column for table in tables for column in (table.product, table.category) if column is not None]
    if not columns:
        return {}
    ids = np.unique(np.concatenate(columns)).tolist()
    return dict(conn.execute("select id, text from term where id = any(%s)", [ids]).fetchall())
