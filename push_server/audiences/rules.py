"""The rule language bound to a site: its zone, its dictionary, its tables and its other segments."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import psycopg
from sqlalchemy import ARRAY, FromClause, Integer, Select, Table, and_, any_, cast, literal, text
from sqlalchemy import select as select_columns
from sqlalchemy.exc import OperationalError
from sqlmodel import SQLModel, select

import segments
from push_server.audiences.messages import messages
from push_server.audiences.models import Segment
from push_server.catalog.models import Product
from push_server.customers.models import Customer
from push_server.db import SiteSession
from push_server.errors import Fault, Invalid
from push_server.events.horizons import horizons_of
from push_server.events.models import event, event_body, event_rollup, order_line, order_value, term
from push_server.loyalty.models import points_value, tier_change
from push_server.settings import settings
from push_server.sites.models import Site
from push_server.sites.retention import Retention
from push_server.subscriptions.models import Subscription
from segments.core import Rank, Rfm
from segments.language import ENGLISH, Language
from segments.needs import everything
from segments.retention import lacking

Thresholds = Mapping[Rank | Rfm, Any]
"""Borders by leaf, as `World.thresholds`."""


class Part(NamedTuple):
    """The customers with ids above `after`, up to `upto`: a fair share of all, since ids are as if drawn at random."""

    after: int
    upto: int

    def has(self, id: Any) -> Any:
        """Whether a column's customer is one of them."""
        return and_(id > self.after, id <= self.upto)


class Chosen(NamedTuple):
    """These customers, of whom there may be thousands."""

    ids: tuple[int, ...]

    def has(self, id: Any) -> Any:
        """The same."""
        # Through a subquery, so that the planner does not weigh each of them against its statistics.
        return id == any_(
            cast(select_columns(literal(list(self.ids), ARRAY(Integer))).scalar_subquery(), ARRAY(Integer))
        )


class SiteRules:
    """Reads and compiles rules of the session's site. Other segments are read once and remembered."""

    def __init__(
        self,
        session: SiteSession,
        own_id: UUID | None = None,
        language: Language = ENGLISH,
        retention: Retention | None = None,
        zone: str | None = None,
    ) -> None:
        """With another retention or time zone than the site has, when one is given."""
        self.session = session
        self._segments: dict[str, segments.StoredSegment | None] = {}
        self._nodes: dict[str, Any] = {}
        self._campaigns: dict[str, segments.StoredCampaign | None] = {}
        site = session.get_one(Site, session.site_id)  # held, so that horizons need not ask for it again
        self.zone = zone or site.time_zone
        self.horizons = horizons_of(session, retention)
        self.context = segments.Context(
            ZoneInfo(self.zone),
            self._segment,
            str(own_id) if own_id else None,
            self._campaign,
            language,
            self.horizons.kept,
        )

    def parse(self, document: Any, root: str = "$.rule") -> segments.Rule:
        """Read a rule; 422 with every fault, paths from the request body's root."""
        try:
            return segments.parse(document, self.context)
        except segments.RuleError as error:
            faults = [Fault(root + fault.path[1:], fault.message, fault.code) for fault in error.faults]
            raise Invalid(
                "The rule is not as the rule language wants it; `errors` names each place.",
                code="invalid_rule",
                faults=faults,
            ) from None

    def sentence(self, rule: segments.Rule) -> str:
        """The rule in one sentence."""
        return segments.sentence(rule, self.context)

    def members(
        self, rule: segments.Rule, at: datetime, borders: Thresholds | None = None, part: Part | Chosen | None = None
    ) -> Select[Any]:
        """A select of the `customer_id` of each member at the instant, by these borders or those of that instant.

        Of a part of the customers only rules can be asked whose borders are given. 422 when events of then are deleted.
        """
        node = rule.lower()
        gone = lacking(everything([node], self.node), partial(self.horizons.back_from, at))
        if gone:
            names = ", ".join(f"“{name}”" for name in sorted(gone))
            raise Invalid(
                f"Events that the rule asks for at that instant are deleted by now ({names}), as the site's retention"
                " says. Ask for a later instant.",
                code="before_retention",
                faults=[Fault("$.at", f"too far back for {names}", "before_retention")],
            )
        return segments.compile(node, self.binding(borders, part), at)

    def binding(self, borders: Thresholds | None = None, part: Part | Chosen | None = None) -> segments.Binding:
        """The host, or the facts of a part of its customers, as statements of rules need it.

        `borders` are of leaves that are not to be found anew.
        """
        of_part = partial(_of_part, part=part)
        return segments.Binding(
            site_id=self.session.site_id,
            zone=self.zone,
            customer=of_part(_table(Customer), "id"),
            event=of_part(event),
            event_body=event_body,
            order_value=of_part(order_value),
            order_line=of_part(order_line),
            term=term,
            product=_table(Product),
            points_value=of_part(points_value),
            tier_change=of_part(tier_change),
            term_ids=self._term_ids,
            segment=self.node,
            subscription=of_part(_table(Subscription)),
            messages=lambda outcome, at: of_part(messages(self.session.site_id, outcome, at)),
            is_part=part is not None,
            borders=borders or {},
            event_rollup=of_part(event_rollup),
            rolled_up=self.horizons.before,
        )

    def _campaign(self, id: str) -> segments.StoredCampaign | None:
        if id not in self._campaigns:
            row = None
            if public_id := read_uuid(id):
                # campaigns stand above this folder, and only their names are asked here
                named = text("select name from campaign where site_id = :site and public_id = :id")
                row = self.session.sql(named, {"site": self.session.site_id, "id": public_id}).first()
            self._campaigns[id] = segments.StoredCampaign(str(public_id), row.name) if row else None
        return self._campaigns[id]

    def _segment(self, id: str) -> segments.StoredSegment | None:
        if id not in self._segments:
            public_id = read_uuid(id)
            found = self.session.exec(select(Segment).where(Segment.public_id == public_id)) if public_id else ()
            stored = [segments.StoredSegment(str(row.public_id), row.name, row.rule) for row in found]
            self._segments[id] = stored[0] if stored else None
        return self._segments[id]

    def node(self, id: str) -> Any:
        """The rule of the stored segment with this outside id, in core nodes."""
        if id not in self._nodes:
            stored = self._segment(id)
            assert stored is not None, "a segment that another one names cannot be deleted"
            self._nodes[id] = self.parse(stored.rule).lower()
        return self._nodes[id]

    def _term_ids(self, what: str, texts: Sequence[str]) -> dict[str, int]:
        rows = self.session.sql(
            text("select text, id from term where site_id = :site and what = :what and text = any(:texts)"),
            {"site": self.session.site_id, "what": what, "texts": list(texts)},
        )
        return {row.text: row.id for row in rows}


def _table(model: type[SQLModel]) -> Table:
    table: Table = model.__table__  # type: ignore[attr-defined]
    return table


def _of_part(table: FromClause, customer: str = "customer_id", *, part: Part | Chosen | None) -> FromClause:
    """The rows of a part of the customers, found through the indexes by customer."""
    if part is None:
        return table
    return select_columns(table).where(part.has(table.c[customer])).subquery()


def read_uuid(text: object) -> UUID | None:
    """The UUID that a text writes, or None."""
    try:
        return UUID(text) if isinstance(text, str) else None
    except ValueError:
        return None


# Compiling a generated statement costs more than it saves; a plan for the values at hand beats a general one; hash
# tables over a million ids want more than the default 4 MB.
# Rules join large sets of customers. After a bulk load, before statistics are gathered, the planner takes the sets for
# tiny and would loop over one for each row of another: minutes instead of milliseconds. Hash and merge joins never do.
_TUNED = text(
    "select current_setting('statement_timeout'),"
    " set_config('statement_timeout', :timeout, true), set_config('jit', 'off', true),"
    " set_config('enable_nestloop', 'off', true),"
    " set_config('plan_cache_mode', 'force_custom_plan', true), set_config('work_mem', '64MB', true)"
)


@contextmanager
def evaluation(session: SiteSession, seconds: float | None = None) -> Iterator[None]:
    """Statements of rules run in here, each bounded in time (HOMING_RULE_TIMEOUT): 422 when one takes longer.

    One that somebody cancels before its time is up stays the OperationalError that it is.
    """
    seconds = settings().rule_timeout if seconds is None else seconds
    before = session.sql(_TUNED, {"timeout": f"{max(1, math.ceil(seconds * 1000))}ms"}).scalar_one()
    began = time.monotonic()
    try:
        yield
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.QueryCanceled) and time.monotonic() - began >= seconds:
            raise Invalid(
                f"Finding the members took longer than {seconds:.3g} s and was stopped. Narrow the windows, or split"
                " the rule into segments of its own.",
                code="rule_too_slow",
            ) from None
        raise
    session.sql(
        text("select set_config('statement_timeout', :before, true), set_config('enable_nestloop', 'on', true)"),
        {"before": before},
    )
