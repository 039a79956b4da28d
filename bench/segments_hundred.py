"""A hundred segments to be kept fresh: drawn from a seed, over the whole rule language, most in the style of the ten
rules that engines are compared by, each with windows, categories and thresholds of its own.
"""

import random
from collections.abc import Callable
from typing import Any

from bench.segments_data import CATEGORIES
from bench.segments_rules import RULES

SEED = 20_260_602
Where = dict[str, Any]


def hundred() -> list[Where]:
    """The conditions of the hundred, the same ones every time; none names another segment, see `nested`."""
    draw = _Draw(random.Random(SEED))
    return [make(draw) for make, many in _KINDS.items() for _ in range(many)]


def nested(places: list[str]) -> list[Where]:
    """The last ones, made of other segments, whose outside ids these are in the order of `hundred`."""
    draw = _Draw(random.Random(SEED + 1))
    return [
        {"all": [{"segment": chosen}, {"not": draw.ordered(draw.days(7, 90))}]}
        for chosen in draw.chance.sample(places, NESTED)
    ]


class _Draw:
    """Parts of conditions, drawn."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance

    def days(self, low: int, high: int) -> str:
        return f"{self.chance.randint(low, high)}d"

    def category(self) -> Where:
        return {"category": {"eq": self.chance.choice(CATEGORIES[:12])}}

    def ordered(self, within: str, **more: Any) -> Where:
        return {"event": "Order Completed", **more, "within": within}

    def viewed(self, least: int, within: str) -> Where:
        event = self.chance.choice(("Product Viewed", "Product List Viewed"))
        return {"event": event, "where": self.category(), "count": {"gte": least}, "within": within}

    def spend(self) -> Where:
        return {"event": "Order Completed", "sum": "revenue", "within": self.days(90, 700)}


def _orders(draw: _Draw) -> Where:
    return draw.ordered(draw.days(20, 400), count={"gte": draw.chance.randint(1, 5)})


def _spent(draw: _Draw) -> Where:
    return draw.ordered(draw.days(60, 700), sum={"of": "revenue", "gte": draw.chance.randrange(100, 1200, 50)})


def _bought_before(draw: _Draw) -> Where:
    bought = {"bought": draw.category()}
    return {"all": [bought, {"not": {**bought, "within": draw.days(60, 360)}}]}


def _only_looking(draw: _Draw) -> Where:
    window = draw.days(3, 40)
    return {"all": [draw.viewed(draw.chance.randint(1, 5), window), draw.ordered(window, count={"eq": 0})]}


def _cart_left(draw: _Draw) -> Where:
    steps = [{"event": "Product Added"}, {"event": "Order Completed", "absent": True}]
    found: Where = {"sequence": steps, "within": draw.chance.choice(("12h", "24h", "48h", "7d"))}
    return found if draw.chance.random() < 0.5 else {**found, "gap": draw.chance.choice(("30m", "1h", "4h"))}


def _best(draw: _Draw) -> Where:
    return {"rank": {"by": draw.spend(), "top_percent": draw.chance.choice((1, 5, 10, 20))}}


def _scores(draw: _Draw) -> Where:
    return {"rfm": {"recency": {"gte": draw.chance.randint(3, 5)}, "monetary": {"gte": draw.chance.randint(2, 5)}}}


def _points_end(draw: _Draw) -> Where:
    least = draw.chance.choice((1, 50, 100, 200))
    return {"points": {"expiring": {"gte": least}, "within": draw.days(2, 30)}}


def _points_held(draw: _Draw) -> Where:
    held = {"points": {"balance": {"gte": draw.chance.randrange(100, 600, 100)}}}
    return {"all": [held, {"tier": {"in": draw.chance.sample(("bronze", "silver", "gold"), 2)}}]}


def _birthday(draw: _Draw) -> Where:
    return {"attribute": "birthday", "anniversary_within": draw.days(1, 14)}


def _late(draw: _Draw) -> Where:
    return {"order_gap": {"ratio": {"gt": draw.chance.randint(3, 8) / 2}, "min_orders": draw.chance.randint(2, 4)}}


def _like_r10(draw: _Draw) -> Where:
    some: Where = {"all": [draw.viewed(2, draw.days(7, 30)), _points_held(draw)]}
    return {
        "all": [
            {"any": [draw.ordered("365d", sum={"of": "revenue", "gte": 600}), some]},
            draw.ordered(draw.days(10, 40), count={"eq": 0}),
            {"not": _points_end(draw)},
            {"any": [{"bought": draw.category(), "within": "365d"}, {"event": "Product Added", "within": "7d"}]},
        ]
    }


def _best_of_r10(_draw: _Draw) -> Where:
    return RULES[-1].where


def _silent(draw: _Draw) -> Where:
    return {"event": "Order Completed", "last": {"before": draw.days(30, 300)}}


def _new(draw: _Draw) -> Where:
    return {"event": draw.chance.choice(("Product Viewed", "Order Completed")), "first": {"within": draw.days(10, 90)}}


def _average(draw: _Draw) -> Where:
    function = draw.chance.choice(("avg", "min", "max"))
    return draw.ordered("365d", **{function: {"of": "revenue", "gte": draw.chance.randrange(40, 200, 20)}})


def _many_products(draw: _Draw) -> Where:
    least = draw.chance.randint(3, 8)
    return {"event": "Product Viewed", "distinct": {"of": "product_id", "gte": least}, "within": draw.days(10, 28)}


def _dear_ones(draw: _Draw) -> Where:
    price = {"price": {"gte": draw.chance.randrange(50, 90, 10)}}
    return {"event": "Product Added", "where": price, "within": draw.days(2, 7)}


def _who(draw: _Draw) -> Where:
    countries = draw.chance.sample(("HU", "DE", "AT", "NO", "SE", "PL"), 2)
    return {
        "all": [
            {"attribute": "country", "in": countries},
            {"attribute": "newsletter", "eq": True},
            draw.ordered(draw.days(30, 200)),
        ]
    }


def _reached(draw: _Draw) -> Where:
    browsers = draw.chance.sample(("firefox", "chrome", "safari"), 2)
    return {"all": [{"subscription": {"browser": {"in": browsers}}}, {"topic": "sales"}, _silent(draw)]}


def _runs_out(draw: _Draw) -> Where:
    return {"replenish": {"within": draw.days(3, 10)}}


def _lines(draw: _Draw) -> Where:
    least = draw.chance.randrange(50, 400, 50)
    return {"bought": draw.category(), "sum": {"of": "revenue", "gte": least}, "within": draw.days(90, 700)}


def _share(draw: _Draw) -> Where:
    sample = {"percent": draw.chance.choice((5, 10, 50)), "salt": f"s{draw.chance.randint(1, 9)}"}
    return {"all": [{"sample": sample}, draw.viewed(1, draw.days(5, 30))]}


def _season(draw: _Draw) -> Where:
    month = draw.chance.randint(1, 4)
    between = {"from": f"2026-{month:02d}-01", "to": f"2026-{month + 1:02d}-01"}
    return {"event": "Order Completed", "count": {"gte": draw.chance.randint(1, 3)}, **between}


def _first_this_then_that(draw: _Draw) -> Where:
    steps = [{"event": name} for name in ("Products Searched", "Product Viewed", "Product Added")]
    return {"sequence": steps, "within": draw.days(2, 14)}


NESTED = 4
_KINDS: dict[Callable[[_Draw], Where], int] = {
    _orders: 11, _spent: 9, _bought_before: 8, _only_looking: 12, _cart_left: 8, _best: 3, _scores: 1, _points_end: 6,
    _points_held: 2, _birthday: 6, _late: 4, _like_r10: 5, _best_of_r10: 1, _silent: 2, _new: 2, _average: 2,
    _many_products: 1, _dear_ones: 2, _who: 2, _reached: 2, _runs_out: 1, _lines: 2, _share: 1, _season: 1,
    _first_this_then_that: 2,
}  # fmt: skip
