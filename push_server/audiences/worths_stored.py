"""The rows of one measure: what each customer is worth by it."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from sqlalchemy import Integer, delete, func, insert, literal, or_, select, text

from push_server.audiences.models import customer_worth
from push_server.audiences.rules import Chosen, Part, SiteRules
from push_server.audiences.waiting import LAST_ID
from push_server.db import SiteSession
from segments import Binding
from segments.sql_rank import Measure, worth_by

_FIRST_WIDTH: Final = 2**31 // 4096
"""Customer ids that are filled in at first, and ever more while that is quick."""
_QUICK: Final = 0.05  # seconds
_MOST_FORGOTTEN: Final = 20_000  # rows in one step


class Moved(NamedTuple):
    """What customers were worth and what they are worth now, each ascending; and how many more of them are ranked."""

    was: Sequence[Decimal | int]
    now: Sequence[Decimal | int]
    more_ranked: int


@dataclass(slots=True)
class Bindings:
    """The facts of customers as statements need them, made once for those who are asked about measure after measure."""

    rules: SiteRules
    _last: tuple[Chosen | Part, Binding] | None = None

    def of(self, who: Chosen | Part) -> Binding:
        """The facts of these."""
        if self._last is None or self._last[0] != who:
            self._last = who, self.rules.binding(part=who)
        return self._last[1]


@dataclass(frozen=True, slots=True)
class Stored:
    """A measure by its row id, as of an instant. The site's membership lock is held."""

    session: SiteSession
    bindings: Bindings
    measure: Measure
    id: int
    at: datetime

    def write(self, customers: tuple[int, ...]) -> Moved:
        """What these customers are worth, in place of what was stored; tells of those of whom that was another."""
        rows = self.session.sql(self._differing(Chosen(customers))).all() if customers else []
        gone = [row.customer_id for row in rows if not row.is_ranked]
        here = [row for row in rows if row.is_ranked]
        if gone:
            self.session.sql(_REMOVE, {"id": self.id, "customers": gone})
        if here:
            ids, worths = [row.customer_id for row in here], [row.now for row in here]
            self.session.sql(_STORE, {"id": self.id, "customers": ids, "worths": worths})
        return Moved(
            sorted(row.was for row in rows if row.was is not None),
            sorted(row.now for row in rows if row.now is not None),
            len(here) - sum(row.was_ranked for row in rows),
        )

    def _differing(self, chosen: Chosen) -> Any:
        rows, found = customer_worth.c, worth_by(self.measure, self.bindings.of(chosen), self.at)
        mine = select(rows.customer_id, rows.worth).where(rows.measure_id == self.id, chosen.has(rows.customer_id))
        stored, asked = mine.subquery("stored"), found.subquery("asked")
        was, now = stored.c, asked.c
        is_other = or_(was.customer_id.is_(None), now.customer_id.is_(None), was.worth.is_distinct_from(now.worth))
        return (
            select(
                func.coalesce(now.customer_id, was.customer_id).label("customer_id"),
                was.customer_id.is_not(None).label("was_ranked"),
                now.customer_id.is_not(None).label("is_ranked"),
                was.worth.label("was"),
                now.worth.label("now"),
            )
            .select_from(stored.join(asked, was.customer_id == now.customer_id, full=True))
            .where(is_other)
        )

    def fill(self, filled_to: int, until: float) -> bool:
        """What further customers are worth, until the time is over; whether these were the last."""
        width = _FIRST_WIDTH
        while True:
            began = time.monotonic()
            part = Part(filled_to, min(filled_to + width, LAST_ID))
            self._fill(part)
            filled_to, is_last, now = part.upto, part.upto == LAST_ID, time.monotonic()
            if is_last or now > until:
                self.session.sql(_FILLED, {"id": self.id, "to": None if is_last else filled_to})
                return is_last
            if now - began < _QUICK:
                width *= 2

    def _fill(self, part: Part) -> None:
        """In place of what was stored before it was to be filled, or of those who changed meanwhile."""
        stored = customer_worth.c
        self.session.sql(delete(customer_worth).where(stored.measure_id == self.id, part.has(stored.customer_id)))
        found = worth_by(self.measure, self.bindings.of(part), self.at).subquery().c
        rows = select(literal(self.id, Integer), found.customer_id, found.worth)
        self.session.sql(insert(customer_worth).from_select(["measure_id", "customer_id", "worth"], rows))

    def empty(self) -> None:
        """It is to be filled from the beginning."""
        self.session.sql(_FILLED, {"id": self.id, "to": -1})

    def count(self) -> tuple[int, int]:
        """How many are ranked, and how many of them have a worth."""
        ranked, worthy = self.session.sql(_COUNT, {"id": self.id}).one()
        return ranked, worthy


def forget(session: SiteSession, measure_id: int) -> None:
    """No rule asks for the measure any more: some of its rows go, or the last ones and with them the measure."""
    place = {"id": measure_id, "most": _MOST_FORGOTTEN}
    if session.sql(_FORGET, place).rowcount < _MOST_FORGOTTEN:
        session.sql(text("delete from worth_measure where id = :id"), {"id": measure_id})
    else:
        session.sql(_FILLED, {"id": measure_id, "to": -1})


_REMOVE = text("delete from customer_worth where measure_id = :id and customer_id = any(cast(:customers as int[]))")
_STORE = text(
    "insert into customer_worth (measure_id, customer_id, worth)"
    " select :id, * from unnest(cast(:customers as int[]), cast(:worths as numeric[]))"
    " on conflict (measure_id, customer_id) do update set worth = excluded.worth"
)
_FILLED = text("update worth_measure set filled_to = :to where id = :id")
_COUNT = text("select count(*), count(worth) from customer_worth where measure_id = :id")
_FORGET = text(
    "delete from customer_worth"
    " where ctid = any(array(select ctid from customer_worth where measure_id = :id limit :most))"
)
