"""Segments' members in common, against Python's own sets."""

import random
from itertools import combinations

import numpy as np
import pytest

from push_server.audiences import overlap


@pytest.mark.parametrize("many", range(2, overlap.MOST + 1))
def test_counts_are_those_of_sets(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    draw = random.Random(many)
    sets = [set(draw.choices([0, 2**31 - 1, *range(40)], k=draw.randrange(50))) for _ in range(many)]
    members = [np.array(sorted(each), np.int64) for each in sets]
    monkeypatch.setattr(overlap, "_members", lambda *_: members)
    found = overlap.overlap(None, range(many))  # type: ignore[arg-type]
    assert found.sizes == list(map(len, sets))
    assert found.exclusive == [len(one - set().union(*(other for other in sets if other is not one))) for one in sets]
    assert found.pairs == {(a, b): len(sets[a] & sets[b]) for a, b in combinations(range(many), 2)}
    assert (found.any, found.all) == (len(set().union(*sets)), len(set.intersection(*sets)))


def test_nobody_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlap, "_members", lambda *_: [np.empty(0, np.int64)] * 2)
    found = overlap.overlap(None, [1, 2])  # type: ignore[arg-type]
    assert (found.sizes, found.any, found.all) == ([0, 0], 0, 0)
