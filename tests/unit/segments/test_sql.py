"""The form of the SQL: what stays within the covering indexes, and what reads the customers."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import FromClause
from sqlalchemy.dialects import postgresql

from push_server.audiences.messages import messages
from push_server.catalog.models import Product
from push_server.customers.models import Customer
from push_server.events.models import event, event_body, event_rollup, order_line, order_value, term
from push_server.loyalty.models import points_value, tier_change
from push_server.subscriptions.models import Subscription
from segments import Binding, Context, compile, parse
from segments.core import And, Node

AT = datetime(2026, 3, 1, 12, tzinfo=UTC)
VIEW = {"event": "Product Viewed"}
ORDER = {"event": "Order Completed"}


def _term_ids(what: str, texts: Sequence[str]) -> dict[str, int]:
    return {text: number for number, text in enumerate(texts, 1)}


def _segment(_id: str) -> Node:
    return And(())


def _messages(outcome: str, at: datetime) -> FromClause:
    return messages(1, outcome, at)


def compiled(node: Any) -> Any:
    tables = {"event": event, "event_body": event_body, "order_value": order_value, "order_line": order_line}
    models = {"customer": Customer.__table__, "product": Product.__table__, "term": term}  # type: ignore[attr-defined]
    tables |= {"points_value": points_value, "tier_change": tier_change, "event_rollup": event_rollup}
    reach = {"subscription": Subscription.__table__, "messages": _messages}  # type: ignore[attr-defined]
    binding = Binding(site_id=1, zone="UTC", term_ids=_term_ids, segment=_segment, **tables, **models, **reach)
    statement = compile(parse({"version": 1, "where": node}, Context()).lower(), binding, AT)
    return statement.compile(dialect=postgresql.dialect())


def sql(node: Any) -> str:
    return str(compiled(node))


@pytest.mark.parametrize(
    ("node", "reads", "spares"),
    [
        ({**VIEW, "count": {"gte": 3}, "within": "14d"}, "event", "event_body customer"),
        ({**VIEW, "where": {"category": {"in": ["dog", "cat"]}}}, "event", "event_body customer term"),
        ({**VIEW, "where": {"category": {"contains": "dog"}}}, "event event_body", "customer"),
        ({**VIEW, "where": {"price": {"gt": 5}}}, "event event_body", "customer"),
        ({**VIEW, "count": {"eq": 0}}, "event customer", "event_body"),
        ({**ORDER, "sum": {"of": "revenue", "gte": 500}}, "order_value", "event_body customer"),
        ({"bought": {"category": {"eq": "dog"}}, "sum": {"of": "revenue", "gte": 5}}, "order_line", "customer event"),
        ({"all": [ORDER, {"not": VIEW}]}, "order_value event", "customer"),
        ({"any": [ORDER, VIEW]}, "order_value event", "customer event_body"),
        ({"all": [ORDER, {"attribute": "vip", "eq": True}]}, "order_value customer", "event"),
        ({"all": [{"topic": "sales"}, ORDER]}, "subscription order_value", "customer event"),
        ({"message": {"outcome": "clicked"}}, "delivery receipt", "customer order_value subscription"),
    ],
)
def test_tables_that_a_rule_reads(node: Any, reads: str, spares: str) -> None:
    words = set(sql(node).replace("(", " ").replace(",", " ").split())
    assert words >= set(reads.split())
    assert not words & set(spares.split())


def test_equal_leaves_are_joined_once() -> None:
    twice = {"any": [{"all": [VIEW, {"attribute": "a", "eq": 1}]}, {"all": [VIEW, {"attribute": "b", "eq": 1}]}]}
    assert sql(twice).count("GROUP BY") == 1


def test_bought_of_a_category_reads_two_ranges_of_the_index_and_no_more() -> None:
    dogs = {"bought": {"category": {"eq": "dog"}}}
    assert sql(dogs).count("FROM order_line") == 2
    assert " OR " not in sql(dogs)
    silent = sql({"all": [dogs, {"not": {**dogs, "within": "180d"}}]})  # two ranges before the border, two after it
    assert (silent.count("FROM order_line"), silent.count("EXCEPT"), silent.count("GROUP BY")) == (4, 1, 0)


def test_the_clock_of_the_database_is_never_asked() -> None:
    node = {"all": [{**VIEW, "last": {"within": "1d"}}, {"attribute": "a", "within_last": "1d"}, {"bought": {}}]}
    assert not [word for word in ("now(", "current_", "_timestamp(") if word in sql(node).lower()]


@pytest.mark.parametrize("asked", [{"before": "2026-01-31"}, {"within_last": "3d"}, {"gte": "2026-01-31"}])
def test_a_test_of_a_date_is_small_however_its_text_is_read(asked: dict[str, str]) -> None:
    """A rule may hold two thousand of them; built of single expressions, such a rule took half a minute."""
    statement = compiled({"any": [{**VIEW, "where": {f"p{number}": asked for number in range(50)}}] * 2})
    assert len(statement.params) < 50 * 8
