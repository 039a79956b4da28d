"""SQL, memory, columns and the naive judge agree on generated rules over a shop whose facts sit on window edges.

`HOMING_TEST_EXAMPLES` says how many rules, drawn anew each time; without it 2,100, the same ones each time. What of the
language they covered is printed.
"""

import json
import os
from collections import Counter
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from push_server.db import Database
from tests.integration.segments_rules import KINDS, WANTED, covered, instants, leaves, trees
from tests.integration.segments_shop import Shop, reach, shoppers

ASKED = os.environ.get("HOMING_TEST_EXAMPLES")
EXAMPLES = int(ASKED or 2100)
SHOPPERS = 60
NAMED = {
    "A": {"event": "Product Viewed", "within": "3d"},
    "B": {"all": [{"segment": "A"}, {"not": {"attribute": "a", "exists": True}}]},
    "C": {"any": [{"segment": "B"}, {"rfm": {"frequency": {"gte": 4}}}]},
}


class Coverage:
    """What the rules so far have covered, and how many of them hold for some and not for others."""

    def __init__(self) -> None:
        self.rules: set[str] = set()
        self.used: Counter[str] = Counter()
        self.telling: Counter[str] = Counter()

    def add(self, kind: str, written: str, named: set[str], tells: bool) -> None:
        self.rules.add(written)
        self.used.update(named)
        self.telling[kind] += tells

    def table(self, histories: int) -> str:
        """As text: how often each part of the language was used."""
        cells = [f"{name} {self.used[name]}" for name in sorted({*self.used, *WANTED})]
        wide = max(map(len, cells)) + 2
        rows = ["".join(cell.ljust(wide) for cell in cells[at : at + 4]).rstrip() for at in range(0, len(cells), 4)]
        many = len(self.rules)
        head = f"{many} different rules and instants x {histories} histories = {many * histories} cases"
        return "\n".join(["", head, *rows, f"telling: {dict(sorted(self.telling.items()))}"])


def test_sql_memory_columns_and_the_judge_agree(db: Database, capsys: pytest.CaptureFixture[str]) -> None:
    shop, coverage = Shop(db, reach(shoppers(SHOPPERS)), NAMED), Coverage()

    def agree(node: dict[str, Any], at: datetime) -> None:
        found, lowered = shop.members(node, at)
        expected, case = found["judge"], json.dumps([node, at.isoformat()])
        differs = {way: sorted(members ^ expected) for way, members in found.items() if members != expected}
        assert not differs, f"{case} differs from the judge: {differs}"
        kind = next((name for name in KINDS if name in node), "tree")
        coverage.add(kind, case, set(covered(lowered)), 0 < len(expected) < len(shop.found))

    # No phase that explains: it takes minutes to say what the message says.
    phases = (Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink)
    often = settings(
        max_examples=EXAMPLES // 2,
        derandomize=not ASKED,
        deadline=None,
        phases=phases,
        suppress_health_check=[HealthCheck.too_slow],
    )
    often(given(node=leaves, at=instants)(agree))()
    often(given(node=trees, at=instants)(agree))()
    with capsys.disabled():
        print(coverage.table(len(shop.found)))
    never = [name for name in WANTED if not coverage.used[name]]
    assert not never, f"never generated: {never}"
    few = {kind: coverage.telling[kind] for kind in [*KINDS, "tree"] if coverage.telling[kind] < EXAMPLES // 400}
    assert not few, f"too few rules hold for some and not for others: {few}"
    assert len(coverage.rules) >= EXAMPLES * 0.9, "the same rules over and over"
