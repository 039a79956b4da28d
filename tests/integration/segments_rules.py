"""Generated rules over the shop's facts: one strategy for each part of the language, and trees of all of them.

The names are those that `segments_coverage` counts by, so that a part that no rule uses is seen.
"""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from segments.core import Function, Outcome, Score, Stream
from tests.integration.segments_shop import CAMPAIGNS, DATES, FACTS, NOW, NUMBERS, STEP, TEXTS, TICK

Rules = st.SearchStrategy[dict[str, Any]]
NAMES = {
    Stream.EVENTS: ["category", "price", "size"],
    Stream.ORDERS: ["category", "revenue", "order_id"],
    Stream.LINES: ["category", "brand", "price", "quantity", "product_id", "revenue"],
}
NUMBERED = {
    Stream.EVENTS: ["revenue", "price", "category"],
    Stream.ORDERS: ["revenue", "total", "category"],
    Stream.LINES: ["revenue", "price", "quantity", "category", "product_id"],
}
EVENTS = ["Product Viewed", "Viewed Product", "Searched", "Order Shipped", "Order Refunded", "Unheard Of"]

scalar = st.sampled_from([*TEXTS, *NUMBERS, True, False])
scalars = st.lists(scalar, min_size=1, max_size=3)
ordered = st.sampled_from([*NUMBERS, *DATES])
span = st.sampled_from(["12h", "1d", "2d", "3d", "1w", "720m", "30d"])


def _pair(pool: list[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(pool), min_size=2, max_size=2).map(sorted)


def _asked(operands: dict[str, st.SearchStrategy[Any]]) -> dict[str, Rules]:
    """Tests by their operators."""
    return {operator: operand.map(lambda each, o=operator: {o: each}) for operator, operand in operands.items()}  # type: ignore[misc]


def _numbers(pool: list[Any]) -> dict[str, Rules]:
    number, listed = st.sampled_from(pool), st.lists(st.sampled_from(pool), min_size=1, max_size=2)
    plain = dict.fromkeys(("eq", "ne", "gt", "gte", "lt", "lte"), number)
    return _asked({**plain, "in": listed, "not_in": listed, "between": _pair(pool)})


TESTS = _asked(
    {
        **dict.fromkeys(("eq", "ne", "contains"), scalar),
        **dict.fromkeys(("in", "not_in"), scalars),
        **dict.fromkeys(("gt", "gte", "lt", "lte"), ordered),
        "between": _pair(NUMBERS) | _pair(["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"]),
        "starts_with": st.sampled_from(TEXTS),
        "exists": st.booleans(),
        **dict.fromkeys(("before", "after"), st.sampled_from(DATES)),
        **dict.fromkeys(("within_last", "within_next"), span),
    }
)
tests = st.sampled_from(list(TESTS)).flatmap(TESTS.__getitem__)
WINDOWS: dict[str, Rules] = {
    "always": st.just({}),
    "within": span.map(lambda each: {"within": each}),
    "from": st.sampled_from(["2026-02-25", "2026-02-27T12:00:00Z"]).map(lambda each: {"from": each}),
    "to": st.sampled_from(["2026-02-28", "2026-03-01T12:00:00Z"]).map(lambda each: {"to": each}),
    "from to": st.just({"from": "2026-02-26T12:00:00Z", "to": "2026-03-01"}),
}
windows = st.sampled_from(list(WINDOWS)).flatmap(WINDOWS.__getitem__)
COMPARED = _numbers([0, 1, 2, 3, 5, 0.1, 0.3, 19.99, 20.09])


def _where(names: list[str], most: int = 2) -> Rules:
    return st.dictionaries(st.sampled_from(names), tests, max_size=most)


def _source(stream: Stream, where: Rules | None = None) -> Rules:
    asked = _where(NAMES[stream]) if where is None else where
    if stream is Stream.LINES:
        return asked.map(lambda tests: {"bought": tests})
    names = ["Order Completed", "Completed Order"] if stream is Stream.ORDERS else EVENTS
    return st.builds(lambda name, tests: {"event": name, "where": tests}, st.sampled_from(names), asked)


def _joined(*parts: Rules) -> Rules:
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


def _of(stream: Stream, function: Function, compared: Rules) -> Rules:
    if function is Function.COUNT:
        return compared.map(lambda asked: {"count": asked})
    names = st.sampled_from(NUMBERED[stream])
    return st.tuples(names, compared).map(lambda x: {str(function): {"of": x[0], **x[1]}})


aggregates = st.sampled_from([(function, operator) for function in Function for operator in COMPARED])


def _some(stream: Stream) -> Rules:
    return aggregates.flatmap(lambda asked: _of(stream, asked[0], COMPARED[asked[1]]))


def _attributes() -> dict[str, Rules]:
    names = st.sampled_from(["a", "b", "born", "nobody"]).map(lambda name: {"attribute": name})
    days = st.sampled_from(["1d", "7d", "1w", "30d", "364d", "400d"])
    near = days.map(lambda each: {"attribute": "born", "anniversary_within": each})
    return {
        **{f"Attribute {name}": _joined(names, test) for name, test in TESTS.items()},
        "Attribute anniversary_within": near,
    }


def _folds(stream: Stream) -> dict[str, Rules]:
    made = {
        f"Fold {stream} {function} {operator}": _joined(_source(stream), windows, _of(stream, function, compared))
        for function in Function
        for operator, compared in COMPARED.items()
    }
    for which in ("last", "first"):
        for side in ("before", "within"):
            age = span.map(lambda each, w=which, s=side: {w: {s: each}})  # type: ignore[misc]
            made[f"Edge {stream} {which} {side}"] = _joined(_source(stream), windows, age)
    for operator, test in TESTS.items():
        where = st.tuples(st.sampled_from(NAMES[stream]), test).map(lambda x: {x[0]: x[1]})
        made[f"where {stream} {operator}"] = _joined(_source(stream, where), windows, _some(stream))
    for name, window in WINDOWS.items():
        made[f"window {stream} {name}"] = _joined(_source(stream), window, _some(stream))
    return made


def _points() -> dict[str, Rules]:
    balances = {
        f"Points balance {name}": asked.map(lambda x: {"points": {"balance": x}}) for name, asked in COMPARED.items()
    }
    expiring = {
        f"Points expiring {name}": st.tuples(asked, span).map(lambda x: {"points": {"expiring": x[0], "within": x[1]}})
        for name, asked in COMPARED.items()
    }
    return {**balances, **expiring}


def _order_gaps() -> dict[str, Rules]:
    fewest = st.sampled_from([{}, *({"min_orders": many} for many in (1, 2, 3, 4))])
    return {
        f"OrderGap {name}": st.tuples(ratio, fewest).map(lambda x: {"order_gap": {"ratio": x[0], **x[1]}})
        for name, ratio in _numbers([0, 0.5, 1, 1.5, 2, 3, 0.25]).items()
    }


def _ranks() -> dict[str, Rules]:
    share = st.sampled_from([0.1, 1, 10, 20, 33.3, 50, 75, 99.9, 100])
    found = {}
    for stream in (Stream.EVENTS, Stream.ORDERS):
        for function in Function:
            counted = st.sampled_from([{}, {"count": True}])
            of = st.sampled_from(NUMBERED[stream]).map(lambda name, f=function: {str(f): name})  # type: ignore[misc]
            by = _joined(_source(stream), windows, counted if function is Function.COUNT else of)
            ranked = st.tuples(by, share).map(lambda x: {"rank": {"by": x[0], "top_percent": x[1]}})
            found[f"Rank {stream} {function}"] = ranked
    return found


def _rfms() -> dict[str, Rules]:
    scores = _numbers([1, 2, 3, 4, 5, 2.5])
    others = st.dictionaries(
        st.sampled_from(list(Score)).map(str), st.sampled_from(list(scores)).flatmap(scores.__getitem__), max_size=1
    )
    return {
        f"Rfm {score} {name}": st.tuples(others, test).map(lambda x, s=score: {"rfm": {**x[0], str(s): x[1]}})  # type: ignore[misc]
        for score in Score
        for name, test in scores.items()
    }


def _sequences() -> dict[str, Rules]:
    event = st.builds(
        lambda name, where: {"event": name, "where": where},
        st.sampled_from(["Product Viewed", "Searched", "Order Shipped", "Order Completed", "Order Refunded"]),
        _where(["category", "price"], 1),
    )
    step = event | _where(["category", "brand"], 1).map(lambda found: {"bought": found})
    absent = step.map(lambda found: [{**found, "absent": True}])
    first = st.just({}) | span.map(lambda within: {"within": within})
    same = {
        "": st.just({}),
        " same": st.sampled_from(["category", "size", "order_id", "product_id"]).map(lambda name: {"same": name}),
    }
    gap = {"": st.just({}), " gap": span.map(lambda each: {"gap": each})}
    found = {}
    for many in (1, 2, 3):
        # often the same step again, or else few customers would do them all
        steps = st.lists(step, min_size=many, max_size=many) | step.map(lambda each, n=many: [each] * n)  # type: ignore[misc]
        for also, property in same.items():
            if many > 1:
                found[f"Sequence {many}{also}"] = _joined(steps.map(lambda each: {"sequence": each}), first, property)
            for waiting, length in gap.items():
                both = st.tuples(steps, absent).map(lambda x: {"sequence": x[0] + x[1]})
                found[f"Sequence {many} absent{waiting}{also}"] = _joined(both, first, property, length)
    return found


def _messages() -> dict[str, Rules]:
    campaign = st.sampled_from([{}, *({"campaign": id} for id in CAMPAIGNS)])
    return {
        f"Message {outcome} {name}": _joined(st.just({"outcome": str(outcome)}), campaign, window).map(
            lambda asked: {"message": asked}
        )
        for outcome in Outcome
        for name, window in WINDOWS.items()
    }


def _subscriptions() -> dict[str, Rules]:
    telling = {
        "browser in": {"in": ["firefox"]},
        "browser ne": {"ne": "firefox"},
        "browser exists": {"exists": False},
        "locale starts_with": {"starts_with": "hu"},
        "time_zone eq": {"eq": "America/Los_Angeles"},
        "topics contains": {"contains": "dog"},
        "created_at within_last": {"within_last": "2d"},
        "created_at before": {"before": "2026-02-28"},
        "created_at gte": {"gte": "2026-02-27T12:00:00Z"},
    }
    others = st.dictionaries(st.sampled_from([*FACTS, "created_at"]), tests, max_size=1)
    return {
        f"Subscribed {name}": others.map(lambda x, n=name, t=test: {"subscription": {**x, n.split()[0]: t}})  # type: ignore[misc]
        for name, test in telling.items()
    }


shares = st.builds(
    lambda percent, salt: {"sample": {"percent": percent, **salt}},
    st.sampled_from([0, 0.5, 30, 33.3, 100]),
    st.sampled_from([{}, {"salt": "x"}, {"salt": "ő%"}]),
)
topics = st.sampled_from(["dog", "Dog", "5", "100%", "none"]).map(lambda name: {"topic": name})
segments = st.sampled_from(["A", "B", "C"]).map(lambda name: {"segment": name})  # the shop knows their rules

PARTS: dict[str, dict[str, Rules]] = {
    "attribute": _attributes(),
    "event": _folds(Stream.EVENTS),
    "order": _folds(Stream.ORDERS),
    "bought": _folds(Stream.LINES),
    "sample": {"Sample": shares},
    "points": _points(),
    "tier": {f"Tier {name}": test.map(lambda each: {"tier": each}) for name, test in TESTS.items()},
    "order_gap": _order_gaps(),
    "rank": _ranks(),
    "rfm": _rfms(),
    "replenish": {"Replenish": span.map(lambda within: {"replenish": {"within": within}})},
    "sequence": _sequences(),
    "message": _messages(),
    "subscription": _subscriptions(),
    "topic": {"Subscribed topics contains": topics},
    "segment": {"Member": segments},
}
leaves = st.sampled_from(list(PARTS)).flatmap(
    lambda kind: st.sampled_from(list(PARTS[kind])).flatmap(PARTS[kind].__getitem__)
)
trees = st.recursive(
    leaves,
    lambda children: st.one_of(
        st.lists(children, max_size=3).map(lambda found: {"all": found}),
        st.lists(children, max_size=3).map(lambda found: {"any": found}),
        children.map(lambda found: {"not": found}),
    ),
    max_leaves=5,
)
# Facts lie on these instants, windows reach from one to another; at some of them a new day begins somewhere.
instants = st.builds(
    lambda steps, midnight, ticks: NOW + STEP * steps + midnight + TICK * ticks,
    st.integers(-4, 6),
    st.sampled_from([timedelta(0)] * 5 + [timedelta(hours=hours) for hours in (-1, 8, 11)]),
    st.sampled_from([0, 0, -1, 1]),
)
