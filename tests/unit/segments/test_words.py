"""Sentences, the documentation's examples, and the grammar of times."""

import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from segments import Context, StoredCampaign, StoredSegment, parse, sentence
from segments.conditions import kinds
from segments.moments import read_duration, read_moment
from segments.names import ALIASES, canonical

DOCS = Path(__file__).parents[3] / "docs" / "rules.md"
EXAMPLES = re.findall(r"```json\n(.*?)```\n\n> ([^\n]*)\n", DOCS.read_text(), re.DOTALL)


def told(node: Any) -> str:
    context = Context(
        segment=lambda id: StoredSegment(id, "Vip", {"version": 1, "where": {"all": []}}),
        campaign=lambda id: StoredCampaign(id, "Spring"),
    )
    return sentence(parse({"version": 1, "where": node}, context), context)


@pytest.mark.parametrize(("rule", "words"), EXAMPLES)
def test_the_documentation_s_examples(rule: str, words: str) -> None:
    assert sentence(parse(json.loads(rule), Context()), Context()) == words


def test_the_documentation_names_every_condition() -> None:
    text = DOCS.read_text()
    assert len(EXAMPLES) == DOCS.read_text().count("```json")
    for name in kinds():
        assert f"`{name}`" in text


@pytest.mark.parametrize("example", [example for kind in kinds().values() for example in kind.examples])
def test_the_conditions_examples_are_rules(example: dict[str, Any]) -> None:
    assert told(example).startswith("Customers ")


@pytest.mark.parametrize(
    ("node", "words"),
    [
        ({"all": []}, "Customers of any kind."),
        ({"any": []}, "Customers of no kind at all."),
        ({"not": {"segment": "x"}}, "Customers except in the segment “Vip”."),
        (
            {"any": [{"attribute": "vip", "eq": True}, {"attribute": "age", "between": [18, 25.5]}]},
            "Customers either whose vip is true or whose age is between 18 and 25.5.",
        ),
        (
            {"event": "Viewed Product", "distinct": {"of": "product_id", "gte": 3}, "within": "24h"},
            "Customers with at least 3 different values of product_id"
            " over “Product Viewed” events in the last 24 hours.",
        ),
        (
            {"event": "Order Completed", "avg": {"of": "revenue", "lt": 20}, "from": "2026-01-01"},
            "Customers whose average revenue over “Order Completed” events from 2026-01-01 is less than 20.",
        ),
        (
            {"event": "Order Completed", "first": {"within": "1w"}},
            "Customers whose first of the “Order Completed” events was within the last 1 week.",
        ),
        ({"points": {"balance": {"gte": 200}}}, "Customers whose balance of points is at least 200."),
        ({"tier": {"not_in": ["gold", "silver"]}}, "Customers whose loyalty tier is not “gold” or “silver”."),
        ({"attribute": "email", "exists": False}, "Customers whose email is missing."),
        ({"subscription": {}}, "Customers with an active subscription."),
        (
            {"message": {"campaign": "x", "outcome": "converted", "from": "2026-01-01", "to": "2026-02-01"}},
            "Customers who ordered after clicking the campaign “Spring” from 2026-01-01 until 2026-02-01.",
        ),
    ],
)
def test_sentences(node: dict[str, Any], words: str) -> None:
    assert told(node) == words


def test_durations() -> None:
    lengths = {text: read_duration(text) for text in ("30m", "24h", "14d", "8w")}
    assert {text: duration and duration.length for text, duration in lengths.items()} == {
        "30m": timedelta(minutes=30),
        "24h": timedelta(hours=24),
        "14d": timedelta(days=14),
        "8w": timedelta(weeks=8),
    }


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-03-01", datetime(2026, 2, 28, 23, tzinfo=UTC)),
        ("2026-07-01", datetime(2026, 6, 30, 22, tzinfo=UTC)),
        ("2026-03-01T12:00", datetime(2026, 3, 1, 11, tzinfo=UTC)),
        ("2026-03-29T02:30:00", datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),  # skipped: summer time begins
        ("2026-10-25T02:30:00", datetime(2026, 10, 25, 1, 30, tzinfo=UTC)),  # twice: the later one
        ("2026-03-01 12:00:00.1234567Z", datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)),
        ("2026-03-01T12:00:00-05:30", datetime(2026, 3, 1, 17, 30, tzinfo=UTC)),
        ("2026-02-29", None),
        ("2026-3-1", None),
        ("20260301", None),
        ("2026-W09-7", None),
        ("2026-03-01T12", None),
        ("2026-03-01T24:00:00Z", None),
        ("2026-03-01Z", None),
        ("٢٠٢٦-03-01", None),
        ("2026-03-01\n", None),
    ],
)
def test_moments(text: str, instant: datetime | None) -> None:
    moment = read_moment(text, ZoneInfo("Europe/Budapest"))
    assert (moment and moment.at) == instant


def test_old_names_mean_the_new_ones() -> None:
    assert canonical("Completed Order") == "Order Completed"
    assert canonical("Completed order") == "Completed order"
    assert not set(ALIASES) & set(ALIASES.values())
