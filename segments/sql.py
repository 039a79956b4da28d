"""Core nodes → one select of the members' ids.

Each leaf over happenings becomes a grouped select of ids (`sql_streams`), joined from outside. It starts from sets of
ids that hold every member, where the rule has such: a leaf that must hold, or the leaves of an `any`; the other leaves
are asked about those customers only. A leaf that must hold is an inner join, one that must not is an anti-join, and
under `any` it is an outer join whose hit is tested. All three are written as an outer join with `is null` or `is not
null`, which PostgreSQL reduces by itself, and which stays linear where IN and NOT IN under OR would not. Equal leaves
are joined once. The customers themselves are read only when the rule asks something of them, or can hold for those who
did nothing. The instant is a parameter: there is no now().
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ARRAY,
    CTE,
    BigInteger,
    Integer,
    Select,
    Text,
    and_,
    any_,
    case,
    cast,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.dialects.postgresql import BIT
from sqlalchemy.sql import FromClause

from segments.calendar import anniversaries
from segments.core import (
    And,
    Attribute,
    Edge,
    Fold,
    Happened,
    Member,
    Message,
    Node,
    Not,
    Op,
    Or,
    OrderGap,
    Points,
    Rank,
    Replenish,
    Rfm,
    Sample,
    Sequence,
    Source,
    Subscribed,
    Tier,
    leaves,
)
from segments.sql_dates import is_day, month_and_day
from segments.sql_gap import order_gap_ids
from segments.sql_loyalty import loyalty_ids
from segments.sql_pass import conjuncts, one_pass
from segments.sql_rank import rank_ids, rfm_ids
from segments.sql_reach import reached
from segments.sql_replenish import replenish_ids
from segments.sql_rows import Binding
from segments.sql_sequence import sequence_ids
from segments.sql_streams import Ids, ids_of
from segments.sql_values import Truth, Value, among, holds

_MOST_SETS = 20
"""Sets of ids that are united to start from; with more of them, planning takes longer than reading all customers."""

_FEW = 20_000
"""So many customers are looked up one by one sooner than everyone's rows are read."""

_OfIds = Happened | Member | Message | Subscribed
"""Leaves that a set of ids stands for."""

_IDS: dict[type[Happened], Callable[[Any, Binding, datetime], Ids]] = {
    Fold: ids_of,
    Edge: ids_of,
    OrderGap: order_gap_ids,
    Rank: rank_ids,
    Rfm: rfm_ids,
    Replenish: replenish_ids,
    Sequence: sequence_ids,
    Points: loyalty_ids,
    Tier: loyalty_ids,
}


def compile(node: Node, binding: Binding, at: datetime) -> Select[Any]:
    """A select of `customer_id`, each member at instant `at` once."""
    return _Compiler(binding, at).select(node)


def of_customers(node: Node, binding: Binding, at: datetime) -> Truth | None:
    """The truth of a row of `binding.customer`, of a rule that asks nothing but that row; None of other rules."""
    if not all(isinstance(leaf, Attribute | Sample) for leaf in leaves(node)):
        return None
    return _Tree(_Compiler(binding, at), node, binding.customer).truth(node)


@dataclass(frozen=True, slots=True)
class _Joined:
    ids: FromClause
    opposite: bool


class _Compiler:
    """One statement; segments that the rule names become common table expressions, each once.

    They have no names of their own, so that a statement may hold two rules.
    """

    def __init__(self, binding: Binding, at: datetime) -> None:
        self.binding, self.at = binding, at
        self.segments: dict[str, CTE] = {}

    def select(self, node: Node) -> Select[Any]:
        return _Tree(self, one_pass(node), self.binding.customer.alias()).select()

    def segment(self, id: str) -> CTE:
        if id not in self.segments:
            self.segments[id] = self.select(self.binding.segment(id)).cte()
        return self.segments[id]


class _Tree:
    """One rule's tree within the statement."""

    def __init__(self, compiler: _Compiler, node: Node, customer: FromClause) -> None:
        self.compiler, self.node, self.customer = compiler, node, customer
        self.binding, self.at = compiler.binding, compiler.at
        self.joined: dict[tuple[Node, FromClause], _Joined] = {}
        self.base: FromClause = self.customer
        self.id: Any = self.customer.c.id
        self.asked = self.base

    def select(self) -> Select[Any]:
        self._choose_base()
        conditions = [self.truth(self.node)]
        if self.base is self.customer:
            conditions.append(self.customer.c.site_id == self.binding.site_id)
        source = self.base
        for joined in self.joined.values():
            if joined.ids is not self.base:
                source = source.outerjoin(joined.ids, joined.ids.c.customer_id == self.id)
        return select(self.id.label("customer_id")).select_from(source).where(*conditions)

    def _choose_base(self) -> None:
        """Start from a leaf that must hold, when nothing is asked of the customer himself."""
        if any(isinstance(leaf, Attribute | Sample) for leaf in leaves(self.node)):
            return
        parts = conjuncts(self.node)
        for part in sorted(parts, key=_width):
            found = self._covering(part)
            if 0 < len(found) <= _MOST_SETS:
                self.base = _united(found) if found[1:] else found[0]
                self.asked, self.id = self.base, self.base.c.customer_id
                return

    def _covering(self, node: Node) -> list[FromClause]:
        """Sets of ids that together hold everyone for whom the node is true; none where there are no such sets."""
        if isinstance(node, _OfIds):
            joined = self._join(node)
            return [] if joined.opposite else [joined.ids]
        if isinstance(node, And):
            return next(filter(None, map(self._covering, node.children)), [])
        if isinstance(node, Or):
            found = [self._covering(child) for child in node.children]
            return [ids for each in found for ids in each] if all(found) else []
        return []

    def truth(self, node: Node) -> Truth:
        """The node as a condition on the rows that are joined."""
        if isinstance(node, And):
            return and_(true(), *self._all(node))
        if isinstance(node, Or):
            return or_(false(), *map(self.truth, node.children))
        if isinstance(node, Not):
            return ~self.truth(node.child)
        if isinstance(node, Attribute):
            return self._attribute(node)
        if isinstance(node, Sample):
            return self._sample(node)
        joined = self._join(node)
        if joined.ids is self.base:
            return true()
        hit = joined.ids.c.customer_id
        return hit.is_(None) if joined.opposite else hit.is_not(None)

    def _all(self, node: And) -> list[Truth]:
        """Where the base is known, a leaf of an `all` within it narrows whom its other leaves are asked about."""
        parts, before = conjuncts(node), self.asked
        if before is not self.customer:
            asked = (self._join(part) for part in sorted(parts, key=_width) if isinstance(part, _OfIds))
            self.asked = next((each.ids for each in asked if not each.opposite), before)
        truths = [self.truth(part) for part in parts]
        self.asked = before
        return truths

    def _join(self, leaf: _OfIds) -> _Joined:
        """A leaf's ids, of those who are asked about or of more."""
        for asked in (self.customer, self.base, self.asked):
            if (leaf, asked) in self.joined:
                return self.joined[leaf, asked]
        made = self.joined[leaf, self.asked] = self._made(leaf)
        return made

    def _made(self, leaf: _OfIds) -> _Joined:
        if isinstance(leaf, Member):
            return _Joined(self.compiler.segment(leaf.segment).alias(), opposite=False)
        if isinstance(leaf, Message | Subscribed):
            return _Joined(self._of_asked(leaf, reached(leaf, self.binding, self.at)), opposite=False)
        binding = replace(self.binding, everyone=self.asked is self.customer)
        ids = _IDS[type(leaf)](leaf, binding, self.at)
        return _Joined(self._of_asked(leaf, ids.select), ids.opposite)

    def _of_asked(self, leaf: _OfIds, ids: Select[Any]) -> CTE:
        """Once the base is known, nobody else is asked: gathering many customers' rows costs more than finding them.

        Where all there is would be read for that, a few customers are rather looked up. How many they are shows as the
        statement runs, and one of both is not run at all.
        """
        if self.asked is self.customer:
            return ids.cte()
        mine, asked = ids.selected_columns.customer_id, select(self.asked.c.customer_id)
        hashed = ids.where(mine.in_(asked))
        if not _reads_all(leaf):
            return hashed.cte()
        many = select(func.count()).select_from(self.asked).scalar_subquery()
        each = func.array(asked.scalar_subquery(), type_=ARRAY(Integer))
        return union_all(ids.where(mine == any_(each), many <= _FEW), hashed.where(many > _FEW)).cte()

    def _attribute(self, leaf: Attribute) -> Truth:
        attributes = self.customer.c.attributes
        if leaf.test.op is not Op.ANNIVERSARY_WITHIN:
            return holds(leaf.test, attributes.op("->")(leaf.name), self.at, self.binding.zone)
        text = attributes.op("->>")(leaf.name)
        return self._celebrates(attributes.op("->")(leaf.name), text, leaf.test.operand.days)  # type: ignore[union-attr]

    def _celebrates(self, value: Value, text: Value, days: int) -> Truth:
        """The cheap test of month and day first: few birthdays are near, and only those are looked at closely."""
        near = anniversaries(self.at, days, self.binding.zone)
        written, zone = month_and_day(text), self.customer.c.time_zone
        elsewhere = among(zone, [name for zones, _days in near.other_dates for name in zones], Text)
        truths = [and_(among(zone, zones, Text), among(written, days, Text)) for zones, days in near.other_dates]
        truths.append(and_(not_(func.coalesce(elsewhere, false())), among(written, near.days, Text)))
        return case(
            (among(written, near.anywhere, Text), and_(is_day(value), func.coalesce(or_(*truths), false()))),
            else_=false(),
        )

    def _sample(self, leaf: Sample) -> Truth:
        """The first 32 bits of SHA-256 of salt, colon, identity, against the share of 2^32."""
        identity = func.coalesce(self.customer.c.external_id, self.customer.c.anonymous_id, "")
        digest = func.encode(func.sha256(func.convert_to(func.concat(leaf.salt, ":", identity), "UTF8")), "hex")
        bits = cast(func.concat("x", func.substr(digest, 1, 8)), BIT(32))
        return cast(bits, BigInteger) < literal(leaf.bound, BigInteger)


def _united(sets: list[FromClause]) -> CTE:
    """The ids of all the sets, each once; grouped, since the planner would not know that of a UNION's."""
    ids = union_all(*(select(each.c.customer_id) for each in sets)).subquery().c.customer_id
    return select(ids).group_by(ids).cte()


def _reads_all(leaf: _OfIds) -> bool:
    """Whether no window bounds the rows that are read, and an index by customer holds them."""
    return (isinstance(leaf, Points) and leaf.within is None) or isinstance(leaf, OrderGap)


def _width(part: Node) -> tuple[bool, timedelta]:
    """What to start from first: one leaf before several, the shortest window before longer ones."""
    source = getattr(part, "source", None)
    within = source.window.within if isinstance(source, Source) else None
    return isinstance(part, Or), within or timedelta.max
