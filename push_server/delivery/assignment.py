"""Who gets which variant, and who is held out: a stable share of customers, the same however often it is asked."""

from collections.abc import Sequence
from hashlib import blake2b
from itertools import accumulate

_SCALE = 2.0**-64


def share(campaign_id: int, purpose: str, customer_id: int) -> float:
    """A number in [0, 1) that is the customer's own in this campaign; independent between purposes."""
    return _share(f"{campaign_id}:{purpose}:{customer_id}")


def is_held_out(campaign_id: int, customer_id: int, percent: float) -> bool:
    """Whether the customer is among the `percent` that get nothing, for comparison."""
    return share(campaign_id, "holdout", customer_id) * 100 < percent


def is_trying(campaign_id: int, customer_id: int, percent: float) -> bool:
    """Whether the customer is among the `percent` by whom the best variant is found."""
    return share(campaign_id, "experiment", customer_id) * 100 < percent


def is_held_out_of_site(site_id: int, customer_id: int, percent: float) -> bool:
    """Whether the customer is among the `percent` of a site's that none of its campaigns goes to."""
    return _share(f"site {site_id}:holdout:{customer_id}") * 100 < percent


def variant_of(campaign_id: int, customer_id: int, weights: Sequence[float]) -> int:
    """The index of the customer's variant; each weight's part of the sum is its part of the customers."""
    if len(weights) == 1:
        return 0
    point = share(campaign_id, "variant", customer_id) * sum(weights)
    bounds = list(accumulate(weights))
    return next((index for index, bound in enumerate(bounds) if point < bound), len(weights) - 1)


def _share(key: str) -> float:
    return int.from_bytes(blake2b(key.encode(), digest_size=8).digest()) * _SCALE
