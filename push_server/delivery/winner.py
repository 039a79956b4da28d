"""Which variant is the better one, told as soon as it can be: a sequential test that allows looking at any time.

What is looked at are the successes alone (clicks, say): if two variants are equally good, each success of either
belongs to the first with the probability that customers were given it, whatever the rate is, how it changes through
the day, or how late clicks come. Against that stands a mixture over all other probabilities, as in Lindon and Malek,
“Anytime-Valid Inference for Multinomial Count Data” (NeurIPS 2022), here for pairs. Their likelihood ratio is a
martingale with mean 1, so by Ville's inequality it ever exceeds 1/α with probability at most α, however often one
looks.
"""

from collections.abc import Sequence
from math import exp, inf, lgamma, log
from typing import Final

PRIOR: Final = 20.0
"""How many successes the mixture is worth: it expects differences of about a fifth, between what is common in campaigns
(a tenth) and what a small shop can see (a third)."""


def evidence(successes: tuple[int, int], weights: tuple[float, float]) -> float:
    """How many times likelier the successes of two variants are if the variants differ than if they do not."""
    share = weights[0] / sum(weights)
    prior = (PRIOR * share, PRIOR * (1 - share))
    mixed = _log_beta(successes[0] + prior[0], successes[1] + prior[1]) - _log_beta(*prior)
    found = mixed - successes[0] * log(share) - successes[1] * log(1 - share)
    return exp(found) if found < 700 else inf


def winner(successes: Sequence[int], weights: Sequence[float], confidence: float) -> int | None:
    """The variant that is better than each other one, or None while that is not certain enough.

    With as many equal variants as there are, one of them is ever told to be the best with probability at most
    1 - `confidence` (Bonferroni over the pairs).
    """
    best = leader(successes, weights)
    pairs = len(weights) * (len(weights) - 1) / 2
    needed = pairs / (1 - confidence)
    for other in range(len(weights)):
        pair = (successes[best], successes[other]), (weights[best], weights[other])
        if other != best and (
            evidence(*pair) < needed or not _rate(best, successes, weights) > _rate(other, successes, weights)
        ):
            return None
    return best


def leader(successes: Sequence[int], weights: Sequence[float]) -> int:
    """The variant with most successes for its weight; of equal ones the first."""
    return max(range(len(weights)), key=lambda at: (_rate(at, successes, weights), -at))


def _rate(at: int, successes: Sequence[int], weights: Sequence[float]) -> float:
    return successes[at] / weights[at]


def _log_beta(first: float, second: float) -> float:
    return lgamma(first) + lgamma(second) - lgamma(first + second)
