"""The test that finds the better variant: how often it is wrong, and how soon it is right."""

import random
from collections.abc import Sequence

import pytest

from push_server.delivery.winner import evidence, leader, winner


def campaign(chance: random.Random, rates: Sequence[float], weights: Sequence[float], most: int) -> int | None:
    """Messages one by one, with a look at each click; the first winner, if ever."""
    clicks = [0] * len(rates)
    for _ in range(most):
        [variant] = chance.choices(range(len(rates)), weights)
        if chance.random() < rates[variant]:
            clicks[variant] += 1
            if (found := winner(clicks, weights, 0.95)) is not None:
                return found
    return None


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (1, 1, 1), (4, 2, 1, 1)])
def test_equal_variants_seldom_have_a_winner_however_often_one_looks(weights: Sequence[float]) -> None:
    chance = random.Random(20_261_126)
    wrong = [campaign(chance, [0.15] * len(weights), weights, 1500) for _ in range(300)]
    assert sum(found is not None for found in wrong) / len(wrong) <= 0.05


def test_a_test_at_a_fixed_size_would_be_wrong_more_often() -> None:
    """What is shown above is due to the method: 1.96 standard deviations, looked at after each click, fail."""
    chance, wrong = random.Random(3), 0
    for _ in range(200):
        clicks = [0, 0]
        for _ in range(200):
            clicks[chance.random() < 0.5] += 1
            if sum(clicks) >= 20 and abs(clicks[0] - clicks[1]) > 1.96 * sum(clicks) ** 0.5:
                wrong += 1
                break
    assert wrong / 200 > 0.15


def test_a_clear_difference_is_found_soon_and_never_the_wrong_way() -> None:
    chance = random.Random(7)
    found = [campaign(chance, (0.08, 0.14, 0.08), (1, 1, 1), 6000) for _ in range(60)]
    assert found.count(1) / len(found) >= 0.9
    assert set(found) <= {1, None}


def test_evidence_grows_with_what_speaks_for_it() -> None:
    assert evidence((0, 0), (1, 1)) == pytest.approx(1)
    assert evidence((10, 10), (1, 1)) < 1 < evidence((18, 2), (1, 1)) < evidence((36, 4), (1, 1))
    assert evidence((30, 10), (3, 1)) < 1, "as many as their shares"
    assert evidence((10_000_000, 0), (1, 1)) > 1e300


def test_nobody_wins_without_successes() -> None:
    assert winner([0, 0], [1, 1], 0.95) is None
    assert leader([0, 0], [1, 1]) == 0
    assert leader([5, 9], [1, 3]) == 0
