"""Where the facts lie: the host's tables, and the three streams of happenings as rows of them."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Self

from sqlalchemy import (
    CompoundSelect,
    DateTime,
    Integer,
    Numeric,
    Select,
    Text,
    and_,
    cast,
    false,
    func,
    literal,
    literal_column,
    not_,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.sql import FromClause

from segments.core import Node, Op, Rank, Rfm, Source, Stream, Test
from segments.names import ORDER_VALUE
from segments.sql_values import Truth, Value, among, as_number, entries, holds

MICROS = 1_000_000
_LONG = timedelta(days=120)
_READ_FROM = {
    "revenue": ("amount",),
    "quantity": ("quantity",),
    "product_id": ("product_id",),
    "category": ("category_id", "product_id"),
}
"""The columns that hold what is asked of a line; all else is in `line`."""
_NO_TERM = 0  # dictionary ids begin at 1
_INSTANT = DateTime(timezone=True)


@dataclass(frozen=True)
class Binding:
    """The host's tables, and what of a site must be known before a statement is planned.

    customer(id, site_id, attributes jsonb, time_zone, external_id, anonymous_id); event(kind_id, customer_id, ts, seq,
    category_id); event_body(seq, properties jsonb); order_value(site_id, customer_id, ts, since, until, value micros,
    seq); order_line(site_id, customer_id, ts, since, until, product_id, category_id, quantity, amount micros, line
    jsonb); term(id, site_id, what, text); product(site_id, product_id text, category text,
    lifespan_days); points_value(site_id, customer_id, since, until, expires_at, points);
    tier_change(site_id, customer_id, at, seq, tier).
    `term_ids(what, texts)` gives the dictionary ids of those texts that have one, `what` being event, category or
    product. `segment(id)` gives another segment's rule in core nodes. `zone` is the site's, as PostgreSQL knows it.
    subscription(site_id, customer_id, state, ended_at, and the facts browser, locale, time_zone, topics text[],
    created_at). `messages(outcome, at)` gives (customer_id, campaign uuid, ts): what became of messages until then.
    A version's `since` is never before its `ts`.
    `borders` are those that the host keeps, as `World.thresholds`; a condition that has none finds it over everyone.
    `everyone` says that a leaf is asked about all customers, not about those who are left of the rule's other leaves.
    `rolled_up` names the events of which some are deleted; event_rollup(kind_id, customer_id, category_id, property,
    many, first_at, last_at, total, least, greatest) has what they were added up to.
    `is_part`: what is bound holds the facts of a part of the customers only, so that few rows of it are asked.
    """

    site_id: int
    zone: str
    customer: FromClause
    event: FromClause
    event_body: FromClause
    order_value: FromClause
    order_line: FromClause
    term: FromClause
    product: FromClause
    points_value: FromClause
    tier_change: FromClause
    term_ids: Callable[[str, Sequence[str]], dict[str, int]]
    segment: Callable[[str], Node]
    subscription: FromClause
    messages: Callable[[str, datetime], FromClause]
    event_rollup: FromClause
    rolled_up: Collection[str] = ()
    borders: Mapping[Rank | Rfm, Any] = field(default_factory=dict)
    everyone: bool = True
    is_part: bool = False


class Rows(ABC):
    """Happenings of one source up to instant `at`.

    `by_time`: they are read from an index in which a span of time is a range.
    """

    by_time = False

    def __init__(self, source: Source, binding: Binding, at: datetime, table: FromClause) -> None:
        self.source, self.binding, self.at, self.table = source, binding, at, table
        self.ts = table.c.ts
        self._body: tuple[FromClause, Truth] | None = None
        self._taken = False
        self._where = source.where  # what is still to be asked of them

    def in_order(self, name: str | None = None) -> Self:
        """The rows customer by customer, where that is the cheaper way to group them; ask before anything else.

        Of their properties only the one with this name can be asked then.
        """
        return self

    def select(self, *columns: Value) -> Select[Any]:
        """`select customer_id, columns …` of the rows that match.

        Ask for the columns first: what they need is joined here.
        """
        conditions = [*self._limits(), *(self.passes(name, test) for name, test in self._where)]
        found = select(self.table.c.customer_id, *columns)
        if self._body is not None:
            found = found.select_from(self.table.join(*self._body))
        return found.where(*conditions)

    def _limits(self) -> list[Truth]:
        return [] if self._taken else [*self._standing(), self.ts <= _instant(self.at), *self._in_window()]

    def _take(self, rows: Select[Any] | CompoundSelect[Any]) -> None:
        """From here on the source's rows are these, which are within its limits; the planner drops unused columns."""
        self.table, self._taken = rows.subquery(), True
        self.ts = self.table.c.ts

    def grouped(self) -> Select[Any]:
        """The same `group by customer_id`, for aggregates in HAVING; ask for their columns first, too."""
        return self.select().group_by(self.table.c.customer_id)

    def passes(self, name: str, test: Test) -> Truth:
        """Whether a property passes a test of `where`."""
        return holds(test, self.property(name), self.at, self.binding.zone)

    def property(self, name: str) -> Value:
        """A free property as jsonb; SQL null where it is missing."""
        self._body = self._body or self._bodies()
        return _member(self._body[0].c.properties, name)

    def number(self, name: str) -> tuple[Value, int]:
        """A property as an exact number, and how many of its units make one."""
        return as_number(self.property(name)), 1

    def _bodies(self) -> tuple[FromClause, Truth]:
        """Free properties: fetched row by row where few rows are asked, else all bodies joined.

        The planner cannot be left to choose. After a bulk load it takes a month's rows for a handful, or a handful for
        a month's, and may read every body ever stored to look at a thousand. OFFSET keeps it from joining by itself.
        """
        bodies, window = self.binding.event_body, self.source.window
        mine = bodies.c.seq == self.table.c.seq
        is_long = window.within is None and window.start is None
        if self.source.stream is Stream.EVENTS and is_long and not self.binding.is_part:
            return bodies, mine
        return select(bodies.c.properties).where(mine).offset(0).lateral("body"), true()

    @abstractmethod
    def _standing(self) -> list[Truth]:
        """What makes a row one of this site, source and instant."""

    def _in_window(self) -> list[Truth]:
        window, conditions = self.source.window, []
        if window.within is not None:
            conditions.append(self.ts > _instant(self.at - window.within))
        if window.start is not None:
            conditions.append(self.ts >= _instant(window.start))
        if window.end is not None:
            conditions.append(self.ts < _instant(window.end))
        return conditions


class _Events(Rows):
    """Plain events of one name."""

    def passes(self, name: str, test: Test) -> Truth:
        category = self.table.c.category_id
        narrow = by_term("category", category, test, self.binding) if name == "category" else None
        return super().passes(name, test) if narrow is None else narrow

    def _standing(self) -> list[Truth]:
        known = self.binding.term_ids("event", [self.source.name])
        return [self.table.c.kind_id == known.get(self.source.name, _NO_TERM)]


class _Versions(Rows):
    """Rows that stand from `since` until `until`, as refunds and cancellations leave them."""

    def in_order(self, name: str | None = None) -> Self:
        """Nearly every order of a window is a group of its own, and a hash table of so many costs more than their rows.

        The planner thinks otherwise. Told the order, it takes the customers' index. For a short window that is the
        longer way, and hash tables are small; where it holds all there is, the planner finds it out.
        """
        window = self.source.window
        long = window.within is None or window.within >= _LONG
        if self.binding.everyone and long and not self._where and not self._taken:
            of = [self.table.c[each] for each in ("customer_id", "ts", *self._columns(name))]  # each costs time
            # what stands has come, so that one condition less is asked of each row
            rows = select(*of).where(*self._standing(), *self._in_window()).order_by(self.table.c.customer_id)
            self._take(rows.offset(0))  # which keeps the planner from forgetting the order
        return self

    @abstractmethod
    def _columns(self, name: str | None) -> Sequence[str]:
        """Those that a property is read from, or joined by."""

    def _standing(self) -> list[Truth]:
        at = _instant(self.at)
        return [self.table.c.site_id == self.binding.site_id, self.table.c.since <= at, self.table.c.until > at]


class _Orders(_Versions):
    """Orders. Their value is lowered by refunds; `where` asks the properties that the order came with."""

    def number(self, name: str) -> tuple[Value, int]:
        if name in ORDER_VALUE:
            return self.table.c.value, MICROS
        return super().number(name)

    def _columns(self, name: str | None) -> Sequence[str]:
        return () if name is None else ("value", "seq") if name in ORDER_VALUE else ("seq",)


class _Lines(_Versions):
    """Lines of orders. A category that `where` asks for is the line's own, else the catalogue's of its product."""

    def __init__(self, source: Source, binding: Binding, at: datetime, table: FromClause) -> None:
        super().__init__(source, binding, at, table)
        for place, (name, test) in enumerate(source.where):
            own = by_term("category", table.c.category_id, test, binding) if name == "category" else None
            if own is not None and test.op in (Op.EQ, Op.IN):
                self._choose(test, own)
                self._where = source.where[:place] + source.where[place + 1 :]
                return

    def _choose(self, test: Test, own: Truth) -> None:
        """Lines with a category and lines without one, side by side: each of both is a range of the covering index."""
        lines = self.table.c
        fitting = among(self.binding.product.c.category, entries(test.operand), Text)
        truths = own, and_(lines.category_id.is_(None), lines.product_id.in_(self._products(fitting)))
        self._take(union_all(*(select(self.table).where(*self._limits(), truth) for truth in truths)))
        self.by_time = True

    def passes(self, name: str, test: Test) -> Truth:
        if name == "category":
            return self._category(test)
        product = self.table.c.product_id
        narrow = by_term("product", product, test, self.binding) if name == "product_id" else None
        return super().passes(name, test) if narrow is None else narrow

    def property(self, name: str) -> Value:
        if name == "revenue":
            return func.to_jsonb(cast(self.table.c.amount, Numeric) * literal(Decimal(1) / MICROS, Numeric))
        if name == "quantity":
            return func.to_jsonb(self.table.c.quantity)
        if name == "product_id":  # by the dictionary, where a number is the same id as its text
            return func.to_jsonb(self._text(self.table.c.product_id))
        if name == "category":
            return func.to_jsonb(func.coalesce(self._text(self.table.c.category_id), self._catalogue_category()))
        return _member(self.table.c.line, name)

    def number(self, name: str) -> tuple[Value, int]:
        if name == "revenue":
            return self.table.c.amount, MICROS
        return super().number(name)

    def _columns(self, name: str | None) -> Sequence[str]:
        return () if name is None else _READ_FROM.get(name, ("line",))

    def _category(self, test: Test) -> Truth:
        """By the dictionary: the line's own category, else the catalogue's of its product."""
        own, product = self.table.c.category_id, self.table.c.product_id
        terms, binding = self.binding.term, self.binding
        named = and_(terms.c.site_id == binding.site_id, terms.c.what == "category")
        fits = holds(test, func.to_jsonb(terms.c.text), self.at, binding.zone)
        by_own = by_term("category", own, test, binding)
        if by_own is None or test.op in (Op.NE, Op.NOT_IN):
            by_own = own.in_(select(terms.c.id).where(named, fits))
        fitting = holds(test, func.to_jsonb(binding.product.c.category), self.at, binding.zone)
        by_catalogue = and_(own.is_(None), product.in_(self._products(fitting)))
        truths = [and_(own.is_not(None), by_own), by_catalogue]
        if test.op in (Op.NE, Op.NOT_IN) or (test.op is Op.EXISTS and not test.operand):
            known = self._products(binding.product.c.category.is_not(None))
            truths.append(and_(own.is_(None), or_(product.is_(None), product.not_in(known))))
        return or_(*truths)

    def _products(self, condition: Truth) -> Select[Any]:
        terms, products = self.binding.term, self.binding.product
        listed = select(terms.c.id).join_from(terms, products, products.c.product_id == terms.c.text)
        site = self.binding.site_id
        return listed.where(terms.c.site_id == site, terms.c.what == "product", products.c.site_id == site, condition)

    def _text(self, id: Value) -> Value:
        terms = self.binding.term
        return select(terms.c.text).where(terms.c.id == id).scalar_subquery()

    def _catalogue_category(self) -> Value:
        terms, products = self.binding.term, self.binding.product
        found = select(products.c.category).join_from(terms, products, products.c.product_id == terms.c.text)
        of_line = found.where(terms.c.id == self.table.c.product_id, products.c.site_id == self.binding.site_id)
        return of_line.scalar_subquery()


_ROWS: dict[Stream, type[Rows]] = {Stream.EVENTS: _Events, Stream.ORDERS: _Orders, Stream.LINES: _Lines}


def rows_of(source: Source, binding: Binding, at: datetime) -> Rows:
    """The rows of a source."""
    tables = {
        Stream.EVENTS: binding.event,
        Stream.ORDERS: binding.order_value,
        Stream.LINES: binding.order_line,
    }
    return _ROWS[source.stream](source, binding, at, tables[source.stream])


def by_term(what: str, column: Value, test: Test, binding: Binding) -> Truth | None:
    """A test of text by its dictionary id, so that the covering index answers; None where that would not be exact.

    The id is null unless the value is text. So only (in)equality with texts can go by it.
    """
    texts = [each for each in entries(test.operand) if isinstance(each, str)]
    if test.op not in (Op.EQ, Op.IN, Op.NE, Op.NOT_IN) or len(texts) < len(entries(test.operand)):
        return None
    found = among(column, binding.term_ids(what, texts).values(), Integer)
    return found if test.op in (Op.EQ, Op.IN) else not_(func.coalesce(found, false()))


def _member(document: Value, name: str) -> Value:
    return func.nullif(document.op("->")(literal(name, Text)), literal_column("'null'::jsonb"))


def _instant(at: datetime) -> Value:
    return literal(at, _INSTANT)
