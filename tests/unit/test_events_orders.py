"""What an order is worth, and when (pure)."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from push_server.errors import Fault
from push_server.events.money import LIMIT, micros
from push_server.events.orders import Changed, Line, OrderFact, read_lines, read_order, versions

DAY = 86_400_000_000


def lines(*products: dict[str, Any]) -> list[Line]:
    faults: list[Fault] = []
    found = read_lines(
        [{key: Decimal(str(v)) if isinstance(v, float) else v for key, v in one.items()} for one in products],
        "$",
        faults,
    )
    assert not faults
    return found


TWO_DOGS = {"product_id": "dog", "price": 10.5, "quantity": 2}
ONE_CAT = {"product_id": "cat", "price": 5.0}


def shown(*changes: Changed, products: list[Line] | None = None) -> list[tuple[int, int | None, float, list[float]]]:
    """An order of 26 at day 0, as (since day, until day, value, amounts of lines)."""
    found = versions(0, 26_000_000, lines(TWO_DOGS, ONE_CAT) if products is None else products, changes)
    return [
        (
            one.since // DAY,
            None if one.until is None else one.until // DAY,
            one.value / 1e6,
            [line.amount / 1e6 for line in one.lines],
        )
        for one in found
    ]


def change(kind: Any, day: float, amount: float | None = None, *products: dict[str, Any]) -> Changed:
    return Changed(
        kind, int(day * DAY), int(day * 10), None if amount is None else micros(amount), lines(*products) or None
    )


def test_an_order_stands_for_ever() -> None:
    assert shown() == [(0, None, 26, [21, 5])]


def test_a_cancellation_ends_it_at_its_own_instant_and_again_changes_nothing() -> None:
    assert shown(change("cancelled", 3)) == [(0, 3, 26, [21, 5])]
    assert shown(change("cancelled", 3), change("cancelled", 5), change("updated", 6, 9)) == [(0, 3, 26, [21, 5])]


def test_taken_away_before_it_came_it_never_counts() -> None:
    assert shown(change("cancelled", -1)) == []
    assert shown(change("refunded", -1, 6)) == [(0, None, 20, [21, 5])]


def test_refunds_lower_it_one_after_the_other_in_the_order_of_time() -> None:
    expected = [(0, 2, 26, [21, 5]), (2, 4, 20, [21, 5]), (4, None, 16, [21, 5])]
    assert shown(change("refunded", 4, 4), change("refunded", 2, 6)) == expected
    assert shown(change("refunded", 2, 20), change("refunded", 4, 6))[-1] == (2, 4, 6, [21, 5])


def test_a_refund_of_everything_or_of_nothing_named_takes_it_away() -> None:
    for gone in (change("refunded", 1), change("refunded", 1, 26), change("refunded", 1, 99)):
        assert shown(gone) == [(0, 1, 26, [21, 5])]


def test_a_refund_by_products_takes_their_lines() -> None:
    one_dog = {"product_id": "dog", "quantity": 1}
    assert shown(change("refunded", 1, None, one_dog))[-1] == (1, None, 15.5, [10.5, 5])
    assert shown(change("refunded", 1, None, one_dog | {"price": 8.0}))[-1] == (1, None, 18, [10.5, 5])
    assert shown(change("refunded", 1, 1.0, one_dog))[-1] == (1, None, 25, [10.5, 5])
    assert shown(change("refunded", 1, None, {"product_id": "dog", "quantity": 9}))[-1] == (1, None, 5, [5])
    assert shown(change("refunded", 1, None, {"product_id": "fish"})) == [(0, None, 26, [21, 5])]


def test_an_update_replaces_what_it_names() -> None:
    assert shown(change("updated", 1, 30)) == [(0, 1, 26, [21, 5]), (1, None, 30, [21, 5])]
    assert shown(change("updated", 1, None, ONE_CAT))[-1] == (1, None, 26, [5])
    assert shown(change("updated", 1)) == [(0, None, 26, [21, 5])]


@given(
    st.lists(
        st.builds(
            Changed,
            st.sampled_from(["cancelled", "refunded", "updated"]),
            st.integers(-3, 9),
            st.integers(0, 99),
            st.none() | st.integers(0, 30_000_000),
            st.none(),
        ),
        unique_by=lambda one: one.seq,
    ),
    st.randoms(),
)
def test_versions_follow_each_other_whatever_order_the_changes_come_in(changes: list[Changed], chance: Any) -> None:
    found = versions(0, 26_000_000, [], changes)
    shuffled = list(changes)
    chance.shuffle(shuffled)
    assert versions(0, 26_000_000, [], shuffled) == found
    for before, after in pairwise(found):
        assert before.until == after.since > before.since
    assert all(one.until is None or one.until > one.since for one in found)
    assert not found or found[0].since == 0


def read(name: str, properties: dict[str, Any]) -> tuple[OrderFact | None, list[str]]:
    faults: list[Fault] = []
    fact = read_order(name, msgspec.json.encode(properties), "fallback", "$.p", faults)
    return fact, [fault.path for fault in faults]


@pytest.mark.parametrize(
    ("properties", "amount"),
    [
        ({"revenue": 1, "total": 2, "value": 3}, 1_000_000),
        ({"revenue": None, "total": 2, "value": 3}, 2_000_000),
        ({"value": 0.1}, 100_000),
        ({}, 0),
        ({"products": [{"price": 5}]}, 0),
    ],
)
def test_an_orders_value_is_revenue_else_total_else_value(properties: dict[str, Any], amount: int) -> None:
    fact, faults = read("Order Completed", properties)
    assert fact is not None
    assert not faults
    assert (fact.amount, fact.order_id) == (amount, "fallback")


def test_a_refunds_amount_is_revenue_else_total() -> None:
    fact, _ = read("Order Refunded", {"order_id": 7, "value": 3, "products": []})
    assert fact == OrderFact("refunded", "7", None, None)
    fact, _ = read("Order Refunded", {"order_id": "7", "total": 3})
    assert fact == OrderFact("refunded", "7", 3_000_000, None)


def test_lines_go_by_product_id_else_sku() -> None:
    found = lines({"sku": "s1"}, {"product_id": 5, "sku": "s1", "category": "dog", "price": 0.1, "quantity": 3})
    assert [(one.product_id, one.category, one.amount) for one in found] == [("s1", None, 0), ("5", "dog", 300_000)]


@given(st.decimals(-LIMIT, LIMIT, places=6, allow_nan=False))
def test_micros_are_exact(amount: Decimal) -> None:
    assert micros(amount) == int(amount * 1_000_000)
    if abs(amount) < 10**8:
        assert micros(float(amount)) == int(amount * 1_000_000)


@pytest.mark.parametrize("amount", [float("nan"), float("inf"), 1e13, 10**13, Decimal("1e400")])
def test_micros_beyond_the_limit(amount: Any) -> None:
    with pytest.raises(ValueError):
        micros(amount)
