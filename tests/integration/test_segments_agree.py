"""SQL, memory, columns and the naive judge agree on generated rules over a shop whose facts sit on window edges.

Each part of the language is drawn equally often by itself, and then trees of them. `HOMING_TEST_EXAMPLES` says how many
rules, drawn anew each time; without it 2,000, the same ones each time. What they covered is printed.
"""

import json
import os
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from push_server.db import Database
from segments.core import Node
from tests.integration.segments_coverage import Coverage
from tests.integration.segments_rules import PARTS, instants, trees
from tests.integration.segments_shop import Shop, reach, shoppers

ASKED = os.environ.get("HOMING_TEST_EXAMPLES")
EXAMPLES = int(ASKED or 2000)
SHOPPERS = 50
NAMED = {
    "A": {"event": "Product Viewed", "within": "3d"},
    "B": {"all": [{"segment": "A"}, {"not": {"attribute": "a", "exists": True}}]},
    "C": {"any": [{"segment": "B"}, {"rfm": {"frequency": {"gte": 4}}}]},
}
WANTED = {name for parts in PARTS.values() for name in parts} | {each.__name__ for each in Node.__args__}  # type: ignore[attr-defined]


def often(examples: int) -> settings:
    # No phase that explains: it takes minutes to say what the message says.
    phases = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
    checks = [HealthCheck.too_slow]
    return settings(
        max_examples=examples, derandomize=not ASKED, deadline=None, phases=phases, suppress_health_check=checks
    )


def judged(shop: Shop, coverage: Coverage) -> Callable[[str, dict[str, Any], datetime], None]:
    def agree(kind: str, node: dict[str, Any], at: datetime) -> None:
        found, lowered = shop.members(node, at)
        expected, case = found["judge"], json.dumps([node, at.isoformat()])
        differs = {way: sorted(members ^ expected) for way, members in found.items() if members != expected}
        assert not differs, f"{case} differs from the judge: {differs}"
        coverage.add(kind, case, lowered, 0 < len(expected) < len(shop.found))

    return agree


def test_sql_memory_columns_and_the_judge_agree(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    coverage, found = Coverage(), reach(shoppers(SHOPPERS))
    with Shop(db, found, NAMED) as shop:
        agree = judged(shop, coverage)
        each = max(2, round(EXAMPLES * 0.6 / len(WANTED)))
        for kind, parts in PARTS.items():
            for drawn in parts.values():
                often(max(each, 20 // len(parts)))(given(kind=st.just(kind), node=drawn, at=instants)(agree))()
        missing, turn = max(20, EXAMPLES - len(coverage.cases)), 0
        while missing > 0:
            drawn = given(kind=st.just("tree"), node=trees, at=instants)(agree)
            # Some more, since Hypothesis draws a few twice: so each turn has another seed, too.
            often(missing + EXAMPLES // 20)(drawn if ASKED else seed(turn)(drawn))()
            missing, turn = EXAMPLES - len(coverage.cases), turn + 1
    with capsys.disabled():
        print(coverage.table(SHOPPERS))
    never = sorted(WANTED - set(coverage.used))
    assert not never, f"never generated: {never}"
    few = {kind: coverage.telling[kind] for kind in [*PARTS, "tree"] if not coverage.telling[kind]}
    assert not few, f"no rule holds for some and not for others: {few}"
    assert len(coverage.cases) >= EXAMPLES
