"""What keeping segments fresh is measured against: each rule asked again by a statement of its own, for those customers
alone who changed, their ids passed as an array.

Either it is the segment's own statement, of whose members those are asked for; or, narrowed, that statement over tables
that hold nobody else, so that each leaf goes by the customer's index. It is compiled beforehand: PostgreSQL's time
counts, and the members' way to us. Thresholds of ranks and scores, which hang on everyone, are given as they were last
found.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import psycopg
from sqlalchemy import ARRAY, Integer, Select, any_, bindparam, cast, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.sql import FromClause

from push_server.audiences.rules import SiteRules
from push_server.db import SiteSession
from segments.core import (
    And,
    Fold,
    Function,
    Leaf,
    Node,
    Not,
    Op,
    Or,
    Rank,
    Rfm,
    Score,
    Source,
    Stream,
    Test,
    Window,
)
from segments.history import instant
from segments.sql import compile
from segments.sql_thresholds import read_threshold, threshold

Thresholds = dict[Rank | Rfm, Any]
_OF_CUSTOMERS = ("event", "order_value", "order_line", "points_value", "tier_change", "subscription")


def thresholds(session: SiteSession, leaves: Iterable[Leaf], at: datetime) -> Thresholds:
    """Those of every rank and score among the leaves, over everyone."""
    binding = SiteRules(session).binding()
    asked = {leaf for leaf in leaves if isinstance(leaf, Rank | Rfm)}
    return {leaf: read_threshold(leaf, session.sql(threshold(leaf, binding, at)).one()) for leaf in asked}


class OneByOne:
    """The statements of rules by segment id, ready to be run for any customers."""

    def __init__(
        self,
        session: SiteSession,
        nodes: Mapping[int, Node],
        known: Thresholds,
        at: datetime,
        *,
        is_narrowed: bool = True,
    ) -> None:
        everyone = SiteRules(session).binding()
        binding = replace(everyone, segment=lambda id: _frozen(everyone.segment(id), known))
        if is_narrowed:
            narrow: dict[str, Any] = {name: _narrowed(getattr(everyone, name), "customer_id") for name in _OF_CUSTOMERS}
            binding = replace(binding, **narrow, customer=_narrowed(everyone.customer, "id"))
        found = {id: compile(_frozen(node, known), binding, at) for id, node in nodes.items()}
        self._statements = {
            id: _compiled(statement if is_narrowed else _chosen(statement.subquery(), "customer_id"))
            for id, statement in found.items()
        }

    def members(self, conn: psycopg.Connection[Any], customers: list[int]) -> dict[int, list[int]]:
        """Who of the customers is in, one statement a segment."""
        ids = f"{{{','.join(map(str, customers))}}}"
        found = {}
        with conn.cursor(binary=True) as cursor:
            for segment_id, (sql, parameters) in self._statements.items():
                cursor.execute(sql, {**parameters, "customers": ids}, prepare=False)
                found[segment_id] = [row[0] for row in cursor.fetchall()]
        return found


def _narrowed(table: FromClause, column: str) -> FromClause:
    """A subquery that the planner dissolves."""
    return _chosen(table, column).subquery()


def _chosen(table: FromClause, column: str) -> Select[Any]:
    return select(table).where(table.c[column] == any_(cast(bindparam("customers"), ARRAY(Integer))))


def _compiled(statement: Any) -> tuple[str, dict[str, Any]]:
    compiled = statement.compile(dialect=postgresql.psycopg.dialect())
    return str(compiled), {name: value for name, value in compiled.params.items() if name != "customers"}


def _frozen(node: Node, known: Thresholds) -> Node:
    """The rule with each rank and score told from the customer's own happenings."""
    if isinstance(node, And | Or):
        return type(node)(tuple(_frozen(child, known) for child in node.children))
    if isinstance(node, Not):
        return Not(_frozen(node.child, known))
    if isinstance(node, Rank):
        worth = Decimal(known[node]).scaleb(-6)
        return Fold(node.source, node.function, node.of, Test(Op.GTE, worth))
    if isinstance(node, Rfm):
        return And(tuple(_scored(*each) for each in zip(node.scores, known[node], strict=True)))
    return node


def _scored(asked: tuple[Score, Test], borders: tuple[Any, ...]) -> Node:
    """A score of at least so much: a measure of at least the border of that score."""
    score, test = asked
    assert test.op is Op.GTE
    least, orders = borders[int(test.operand) - 2], Source(Stream.ORDERS)
    if score is Score.RECENCY:
        return Fold(Source(Stream.ORDERS, window=Window(start=instant(least))), Function.COUNT, None, _at_least(1))
    if score is Score.FREQUENCY:
        return Fold(orders, Function.COUNT, None, _at_least(least))
    return Fold(orders, Function.SUM, "revenue", _at_least(Decimal(least).scaleb(-6)))


def _at_least(number: Any) -> Test:
    return Test(Op.GTE, Decimal(number))
