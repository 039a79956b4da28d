"""Generated rules over the shop's facts, every kind of condition alike, and what of the language they cover."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from segments import core
from tests.integration.segments_shop import CAMPAIGNS, DATES, FACTS, NOW, NUMBERS, STEP, TEXTS, TICK

SPANS = ["12h", "1d", "2d", "3d", "1w", "720m", "30d"]

scalar = st.sampled_from([*TEXTS, *NUMBERS, True, False])
ordered = st.sampled_from([*NUMBERS, *DATES])
span = st.sampled_from(SPANS)


def _pair(pool: list[Any], key: Any = None) -> st.SearchStrategy[list[Any]]:
    return st.lists(st.sampled_from(pool), min_size=2, max_size=2).map(lambda pair: sorted(pair, key=key))


ascending_dates = _pair(["2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02"])
property_tests = st.one_of(
    st.fixed_dictionaries({"eq": scalar}),
    st.fixed_dictionaries({"ne": scalar}),
    st.fixed_dictionaries({"in": st.lists(scalar, min_size=1, max_size=3)}),
    st.fixed_dictionaries({"not_in": st.lists(scalar, min_size=1, max_size=3)}),
    *[st.fixed_dictionaries({operator: ordered}) for operator in ("gt", "gte", "lt", "lte")],
    st.fixed_dictionaries({"between": _pair(NUMBERS) | ascending_dates}),
    st.fixed_dictionaries({"contains": scalar}),
    st.fixed_dictionaries({"starts_with": st.sampled_from(TEXTS)}),
    st.fixed_dictionaries({"exists": st.booleans()}),
    *[st.fixed_dictionaries({operator: st.sampled_from(DATES)}) for operator in ("before", "after")],
    *[st.fixed_dictionaries({operator: span}) for operator in ("within_last", "within_next")],
)
attributes = st.one_of(
    st.tuples(st.sampled_from(["a", "b", "born", "nobody"]), property_tests).map(lambda x: {"attribute": x[0], **x[1]}),
    st.sampled_from(["1d", "7d", "1w", "30d", "364d", "400d"]).map(
        lambda n: {"attribute": "born", "anniversary_within": n}
    ),
)
comparisons = st.one_of(
    *[
        st.fixed_dictionaries({operator: st.sampled_from([0, 1, 2, 3, 5, 0.1, 0.3, 19.99, 20.09])})
        for operator in ("eq", "ne", "gt", "gte", "lt", "lte")
    ],
    st.fixed_dictionaries({"between": _pair([0, 1, 2, 5, 10])}),
    *[
        st.fixed_dictionaries({operator: st.lists(st.sampled_from([0, 1, 2, 5]), min_size=1, max_size=2)})
        for operator in ("in", "not_in")
    ],
)
windows = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"within": span}),
    st.fixed_dictionaries({"from": st.sampled_from(["2026-02-25", "2026-02-27T12:00:00Z"])}),
    st.fixed_dictionaries({"to": st.sampled_from(["2026-02-28", "2026-03-01T12:00:00Z"])}),
    st.just({"from": "2026-02-26T12:00:00Z", "to": "2026-03-01"}),
)


def _aggregates(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    of_property = [
        st.tuples(st.sampled_from(names), comparisons).map(lambda x, f=function: {f: {"of": x[0], **x[1]}})  # type: ignore[misc]
        for function in ("sum", "avg", "min", "max", "distinct")
    ]
    edges = [
        st.tuples(st.sampled_from(["before", "within"]), span).map(lambda x, e=edge: {e: {x[0]: x[1]}})  # type: ignore[misc]
        for edge in ("last", "first")
    ]
    return st.one_of(st.just({}), comparisons.map(lambda asked: {"count": asked}), *of_property, *edges)


def _where(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), property_tests, max_size=2)


events = st.builds(
    lambda name, where, window, aggregate: {"event": name, "where": where, **window, **aggregate},
    st.sampled_from(["Product Viewed", "Viewed Product", "Searched", "Order Shipped", "Order Refunded", "Unheard Of"]),
    _where(["category", "price", "size"]),
    windows,
    _aggregates(["revenue", "price", "category"]),
)
orders = st.builds(
    lambda name, where, window, aggregate: {"event": name, "where": where, **window, **aggregate},
    st.sampled_from(["Order Completed", "Completed Order"]),
    st.just({}) | _where(["category", "revenue", "order_id"]),
    windows,
    _aggregates(["revenue", "total", "category"]),
)
bought = st.builds(
    lambda where, window, aggregate: {"bought": where, **window, **aggregate},
    st.just({}) | _where(["category", "brand", "price", "quantity", "product_id", "revenue"]),
    windows,
    _aggregates(["revenue", "price", "quantity", "category", "product_id"]),
)
shares = st.builds(
    lambda percent, salt: {"sample": {"percent": percent, **salt}},
    st.sampled_from([0, 0.5, 30, 33.3, 100]),
    st.sampled_from([{}, {"salt": "x"}, {"salt": "ő%"}]),
)
points = st.one_of(
    comparisons.map(lambda asked: {"points": {"balance": asked}}),
    st.tuples(comparisons, span).map(lambda x: {"points": {"expiring": x[0], "within": x[1]}}),
)
tiers = property_tests.map(lambda test: {"tier": test})


def asked(values: list[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of(
        *[st.fixed_dictionaries({name: st.sampled_from(values)}) for name in ("eq", "ne", "gt", "gte", "lt", "lte")],
        st.fixed_dictionaries({"in": st.lists(st.sampled_from(values), min_size=1, max_size=2)}),
        st.fixed_dictionaries({"not_in": st.lists(st.sampled_from(values), min_size=1, max_size=2)}),
        st.fixed_dictionaries({"between": st.lists(st.sampled_from(values), min_size=2, max_size=2).map(sorted)}),
    )


order_gaps = st.builds(
    lambda ratio, fewest: {"order_gap": {"ratio": ratio, **fewest}},
    asked([0, 0.5, 1, 1.5, 2, 3, 0.25]),
    st.sampled_from([{}, {"min_orders": 1}, {"min_orders": 2}, {"min_orders": 3}, {"min_orders": 4}]),
)
worths = st.builds(
    lambda source, where, window, by: {**source, **where, **window, **by},
    st.sampled_from([{"event": name} for name in ("Product Viewed", "Searched", "Completed Order", "Order Refunded")]),
    st.just({}) | _where(["category", "revenue"]).map(lambda found: {"where": found}),
    windows,
    st.sampled_from([{}, {"count": True}])
    | st.builds(
        lambda function, of: {function: of},
        st.sampled_from(["sum", "avg", "min", "max", "distinct"]),
        st.sampled_from(["revenue", "price", "category"]),
    ),
)
ranks = st.builds(
    lambda by, percent: {"rank": {"by": by, "top_percent": percent}},
    worths,
    st.sampled_from([0.1, 1, 10, 20, 33.3, 50, 75, 99.9, 100]),
)
rfms = st.dictionaries(
    st.sampled_from(["recency", "frequency", "monetary"]), asked([1, 2, 3, 4, 5, 2.5]), min_size=1
).map(lambda scores: {"rfm": scores})
replenished = span.map(lambda within: {"replenish": {"within": within}})
steps = st.one_of(
    st.builds(
        lambda name, where: {"event": name, **where},
        st.sampled_from(["Product Viewed", "Searched", "Order Shipped", "Order Completed", "Order Refunded"]),
        st.just({}) | _where(["category", "price"]).map(lambda found: {"where": found}),
    ),
    (st.just({}) | _where(["category", "brand"])).map(lambda found: {"bought": found}),
)
absent_steps = steps.map(lambda step: {**step, "absent": True})
sequences = st.builds(
    lambda found, absent, gap, within, same: {
        "sequence": found + absent if absent else (found * 2)[:3],
        **(gap if absent else {}),
        **within,
        **same,
    },
    st.lists(steps, min_size=1, max_size=3),
    absent_steps.map(lambda step: [step]) | st.just([]),
    st.just({}) | span.map(lambda gap: {"gap": gap}),
    st.just({}) | span.map(lambda within: {"within": within}),
    st.just({}) | st.sampled_from(["category", "size", "order_id", "product_id"]).map(lambda name: {"same": name}),
)
messages = st.builds(
    lambda outcome, campaign, window: {"message": {"outcome": outcome, **campaign, **window}},
    st.sampled_from([outcome.value for outcome in core.Outcome]),
    st.sampled_from([{}, *({"campaign": id} for id in CAMPAIGNS)]),
    windows,
)
telling_tests = st.sampled_from(
    [
        ("browser", {"in": ["firefox"]}),
        ("browser", {"ne": "firefox"}),
        ("browser", {"exists": False}),
        ("locale", {"starts_with": "hu"}),
        ("topics", {"contains": "dog"}),
        ("created_at", {"within_last": "2d"}),
        ("created_at", {"before": "2026-02-28"}),
        ("created_at", {"gte": "2026-02-27T12:00:00Z"}),
    ]
)
any_tests = st.tuples(st.sampled_from([*FACTS, "created_at"]), property_tests)
subscriptions = st.lists(telling_tests | any_tests, max_size=2).map(lambda tests: {"subscription": dict(tests)})
topics = st.sampled_from(["dog", "Dog", "5", "100%", "none"]).map(lambda name: {"topic": name})
segments = st.sampled_from(["A", "B", "C"]).map(lambda name: {"segment": name})  # the shop knows their rules

KINDS: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "attribute": attributes,
    "event": events,
    "order": orders,
    "bought": bought,
    "sample": shares,
    "points": points,
    "tier": tiers,
    "order_gap": order_gaps,
    "rank": ranks,
    "rfm": rfms,
    "replenish": replenished,
    "sequence": sequences,
    "message": messages,
    "subscription": subscriptions,
    "topic": topics,
    "segment": segments,
}
# Drawn by kind, since one_of would give each the share of its many variants; those that fold happenings more often.
leaves = st.sampled_from([*KINDS, "attribute", "event", "event", "event", "order", "bought", "bought"]).flatmap(
    KINDS.__getitem__
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


def covered(node: core.Node) -> Iterator[str]:
    """What of the language a rule uses, by name: its nodes, and of each what it asks how."""
    yield type(node).__name__
    if isinstance(node, core.And | core.Or):
        for child in node.children:
            yield from covered(child)
    elif isinstance(node, core.Not):
        yield from covered(node.child)
    elif isinstance(node, core.Attribute | core.Tier):
        yield f"{type(node).__name__} {node.test.op}"
    elif isinstance(node, core.Subscribed):
        yield from (f"Subscribed {name}" for name, _test in node.facts)
    elif isinstance(node, core.Message):
        yield f"Message {node.outcome}"
        yield from _window("Message", node.window)
    elif isinstance(node, core.Points):
        yield f"Points {'balance' if node.within is None else 'expiring'} {node.compare.op}"
    elif isinstance(node, core.OrderGap):
        yield f"OrderGap {node.ratio.op}"
    elif isinstance(node, core.Rfm):
        yield from (f"Rfm {score} {test.op}" for score, test in node.scores)
    else:
        yield from _of_happenings(node)


def _of_happenings(node: core.Node) -> Iterator[str]:
    if isinstance(node, core.Fold):
        yield f"Fold {node.source.stream} {node.function}"
        yield f"Fold {node.function} {node.compare.op}"
        yield from _source(node.source)
    elif isinstance(node, core.Rank):
        yield f"Rank {node.source.stream} {node.function}"
        yield from _source(node.source)
    elif isinstance(node, core.Edge):
        yield f"Edge {node.source.stream} {'last' if node.newest else 'first'} {'before' if node.older else 'within'}"
        yield from _source(node.source)
    elif isinstance(node, core.Sequence):
        absent = "" if node.absent is None else " absent" if node.gap is None else " absent gap"
        yield f"Sequence {len(node.steps)}{absent}{' same' if node.same else ''}"
        for step in node.steps:
            yield from _source(step)


def _source(source: core.Source) -> Iterator[str]:
    yield from (f"where {test.op}" for _name, test in source.where)
    yield from _window(source.stream, source.window)


def _window(of: str, window: core.Window) -> Iterator[str]:
    named = {"within": window.within, "from": window.start, "to": window.end}
    yield f"{of} {' '.join(name for name, given in named.items() if given is not None) or 'always'}"


_VALUES = [op for op in core.Op if op is not core.Op.ANNIVERSARY_WITHIN]
_NUMBERS = [op for op in core.COMPARE if op not in (core.Op.BEFORE, core.Op.AFTER)]
_STEPS = ["2", "3", *(f"{many} absent{gap}" for many in (1, 2, 3) for gap in ("", " gap"))]
WANTED = [
    *(each.__name__ for each in core.Node.__args__),  # type: ignore[attr-defined]
    *(f"Attribute {op}" for op in core.Op),
    *(f"Tier {op}" for op in _VALUES),
    *(f"where {op}" for op in _VALUES),
    *(f"Subscribed {name}" for name in (*FACTS, "created_at")),
    *(f"Message {each}" for each in (*core.Outcome, "always", "within", "from", "from to")),
    *(f"Points {what} {op}" for what in ("balance", "expiring") for op in _NUMBERS),
    *(f"OrderGap {op}" for op in _NUMBERS),
    *(f"Rfm {score} {op}" for score in core.Score for op in _NUMBERS),
    *(f"Fold {stream} {function}" for stream in core.Stream for function in core.Function),
    *(f"Fold {function} {op}" for function in core.Function for op in _NUMBERS),
    *(f"Rank {stream} {function}" for stream in ("events", "orders") for function in core.Function),
    *(f"Edge {of} {which} {age}" for of in core.Stream for which in ("last", "first") for age in ("before", "within")),
    *(f"{stream} {window}" for stream in core.Stream for window in ("always", "within", "from", "to", "from to")),
    *(
        f"Sequence {many}{more}{same}"
        for many in (2, 3)
        for more in ("", " absent", " absent gap")
        for same in ("", " same")
    ),
    *(f"Sequence 1 absent{more}{same}" for more in ("", " gap") for same in ("", " same")),
]
