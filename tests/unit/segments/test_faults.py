"""What a rule is refused for: every fault at its JSON path, with a stable code, all at once."""

from datetime import UTC
from typing import Any

import pytest

from segments import Context, RuleError, StoredSegment, parse

NAN, INFINITY = float("nan"), float("inf")
ORDER = {"event": "Order Completed"}
DEEP: Any = ORDER
for _ in range(20):
    DEEP = {"not": DEEP}
TWENTY = DEEP["not"]


def attribute(**test: Any) -> dict[str, Any]:
    return {"attribute": "a", **{name.rstrip("_"): operand for name, operand in test.items()}}


def order(**more: Any) -> dict[str, Any]:
    return ORDER | {name.rstrip("_"): value for name, value in more.items()}


def faults(document: Any, context: Context | None = None) -> list[tuple[str, str]]:
    try:
        parse(document, context or Context())
    except RuleError as error:
        return [(fault.path, fault.code) for fault in error.faults]
    return []


def node_faults(node: Any, context: Context | None = None) -> list[tuple[str, str]]:
    found = faults({"version": 1, "where": node}, context)
    assert all(path.startswith("$.where") or path == "$" for path, _code in found)
    return [(path.removeprefix("$.where"), code) for path, code in found]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (None, [("$", "wrong_type")]),
        ([], [("$", "wrong_type")]),
        ("x", [("$", "wrong_type")]),
        ({}, [("$.version", "missing_field"), ("$.where", "missing_field")]),
        ({"version": 2, "where": ORDER}, [("$.version", "unknown_version")]),
        ({"version": "1", "where": ORDER}, [("$.version", "unknown_version")]),
        ({"version": True, "where": ORDER}, [("$.version", "unknown_version")]),
        ({"version": 1.0, "where": ORDER}, [("$.version", "unknown_version")]),
        ({"version": 1, "where": ORDER, "extra": 1}, [("$.extra", "unknown_field")]),
        ({"version": 1, "where": None}, [("$.where", "null")]),
    ],
)
def test_documents(document: Any, expected: list[tuple[str, str]]) -> None:
    assert faults(document) == expected


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        # which condition
        ([], [("", "wrong_type")]),
        ("all", [("", "wrong_type")]),
        (True, [("", "wrong_type")]),
        ({}, [("", "unknown_condition")]),
        ({"evnt": "x"}, [("", "unknown_condition")]),
        ({"all": [], "any": []}, [("", "two_conditions")]),
        ({"all": [ORDER], "within": "1d"}, [(".within", "unknown_field")]),
        ({"all": {}}, [(".all", "wrong_type")]),
        ({"any": [ORDER, {"bad": 1}, 5]}, [(".any[1]", "unknown_condition"), (".any[2]", "wrong_type")]),
        ({"not": [ORDER]}, [(".not", "wrong_type")]),
        ({"not": None}, [(".not", "null")]),
        # points and tiers
        ({"points": {}}, [(".points", "missing_operator")]),
        ({"points": 5}, [(".points", "wrong_type")]),
        ({"points": {"balance": 5}}, [(".points.balance", "wrong_type")]),
        ({"points": {"balance": {"gte": "5"}}}, [(".points.balance.gte", "number_as_text")]),
        ({"points": {"balance": {"gte": 5}, "within": "7d"}}, [(".points.within", "unknown_field")]),
        ({"points": {"expiring": {"gte": 5}}}, [(".points.within", "missing_field")]),
        ({"points": {"expiring": {"gte": 5}, "within": "soon"}}, [(".points.within", "bad_duration")]),
        (
            {"points": {"expiring": {"gte": 5}, "balance": {"gte": 5}, "within": "7d"}},
            [(".points.expiring", "two_operators")],
        ),
        ({"points": {"balance": {"gte": 5}}, "within": "7d"}, [(".within", "unknown_field")]),
        ({"tier": {}}, [(".tier", "missing_operator")]),
        ({"tier": "gold"}, [(".tier", "wrong_type")]),
        ({"tier": {"in": []}}, [(".tier.in", "empty_list")]),
        ({"tier": {"anniversary_within": "7d"}}, [(".tier.anniversary_within", "unknown_field")]),
        # operators
        (attribute(), [("", "missing_operator")]),
        (attribute(eq=1, ne=2), [(".ne", "two_operators")]),
        (
            attribute(eq=1, gt="x", zz=1),
            [(".gt", "number_as_text"), (".zz", "unknown_field"), (".gt", "two_operators")],
        ),
        (attribute(eq=None), [(".eq", "null")]),
        (attribute(eq=[1]), [(".eq", "wrong_type")]),
        (attribute(eq={}), [(".eq", "wrong_type")]),
        (attribute(in_=[]), [(".in", "empty_list")]),
        (attribute(in_="HU"), [(".in", "wrong_type")]),
        (attribute(not_in=["a", None, []]), [(".not_in[1]", "wrong_type"), (".not_in[2]", "wrong_type")]),
        (attribute(in_=["a"] * 1001), [(".in", "too_long")]),
        (attribute(gte="500"), [(".gte", "number_as_text")]),
        (attribute(gte=True), [(".gte", "wrong_type")]),
        (attribute(gte=NAN), [(".gte", "not_a_number")]),
        (attribute(lt=INFINITY), [(".lt", "not_a_number")]),
        (attribute(eq=10**400), [(".eq", "out_of_range")]),
        (attribute(lte=-(10**16)), [(".lte", "out_of_range")]),
        (attribute(between=[5, 1]), [(".between", "bad_range")]),
        (attribute(between=[1]), [(".between", "bad_range")]),
        (attribute(between=[1, 2, 3]), [(".between", "bad_range")]),
        (attribute(between=[1, "2024-01-01"]), [(".between", "bad_range")]),
        (attribute(between=["2", "a"]), [(".between[0]", "number_as_text"), (".between[1]", "number_as_text")]),
        (attribute(starts_with=5), [(".starts_with", "wrong_type")]),
        (attribute(exists="yes"), [(".exists", "wrong_type")]),
        (attribute(exists=1), [(".exists", "wrong_type")]),
        (attribute(eq="x" * 1001), [(".eq", "too_long")]),
        ({"attribute": "", "eq": 1}, [(".attribute", "empty")]),
        ({"attribute": 5, "eq": 1}, [(".attribute", "wrong_type")]),
        ({"attribute": "a" * 256, "eq": 1}, [(".attribute", "too_long")]),
        # dates and durations
        (attribute(before="tomorrow"), [(".before", "bad_date")]),
        (attribute(after="2023-02-29"), [(".after", "bad_date")]),
        (attribute(after=20240101), [(".after", "bad_date")]),
        (attribute(after="2024-01-01T25:00:00Z"), [(".after", "bad_date")]),
        (attribute(after="0001-01-01"), [(".after", "bad_date")]),
        *[
            (attribute(within_last=bad), [(".within_last", "bad_duration")])
            for bad in ("14", "1y", "0d", "-1d", "1.5d")
        ],
        *[
            (attribute(within_next=bad), [(".within_next", "bad_duration")])
            for bad in ("", " 1d", "1d ", "1D", "١d", 7)
        ],
        (attribute(within_last="99999999w"), [(".within_last", "bad_duration")]),
        (attribute(anniversary_within="12h"), [(".anniversary_within", "bad_duration")]),
        (order(where={"born": {"anniversary_within": "7d"}}), [(".where.born.anniversary_within", "unknown_field")]),
        # events
        ({"event": 5}, [(".event", "wrong_type")]),
        ({"event": ""}, [(".event", "empty")]),
        (order(where=[]), [(".where", "wrong_type")]),
        (order(where={"a": 5}), [(".where.a", "wrong_type")]),
        (order(where={"a b": {}}), [('.where["a b"]', "missing_operator")]),
        (order(where={"a": {"gte": 1, "lte": 5}}), [(".where.a.lte", "two_operators")]),
        (order(where={"": {"eq": 1}}), None),
        (order(where={str(n): {"eq": 1} for n in range(51)}), [(".where", "too_long")]),
        (order(count=3), [(".count", "wrong_type")]),
        (order(count={}), [(".count", "missing_operator")]),
        (order(count={"gte": "3"}), [(".count.gte", "number_as_text")]),
        (order(count={"gte": 1, "lt": 3}), [(".count.lt", "two_operators")]),
        (order(count={"contains": 1}), [(".count.contains", "unknown_field")]),
        (order(sum={"gte": 5}), [(".sum.of", "missing_field")]),
        (order(sum={"of": "revenue"}), [(".sum", "missing_operator")]),
        (order(count={"eq": 1}, sum={"of": "x", "eq": 1}), [(".sum", "two_aggregates")]),
        (order(count={"eq": 1}, last={"before": "1d"}), [(".last", "two_aggregates")]),
        (order(first={"before": "1d"}, last={"before": "1d"}), [(".first", "two_aggregates")]),
        (order(last={"before": "1d", "within": "2d"}), [(".last.within", "two_operators")]),
        (order(last="30d"), [(".last", "wrong_type")]),
        (order(within="14 days"), [(".within", "bad_duration")]),
        (order(within="1d", to="2024-01-01"), [(".to", "two_windows")]),
        (order(within="1d", from_="2024-01-01"), [(".from", "two_windows")]),
        (order(from_="2024-01-02", to="2024-01-01"), [(".to", "empty_window")]),
        (order(from_="2024-01-01", to="2024-01-01"), [(".to", "empty_window")]),
        (order(from_="x", to=5), [(".from", "bad_date"), (".to", "bad_date")]),
        # bought, sample, segment
        ({"bought": "dog"}, [(".bought", "wrong_type")]),
        ({"bought": {"category": "dog"}}, [(".bought.category", "wrong_type")]),
        ({"bought": {}, "where": {}}, [(".where", "unknown_field")]),
        ({"sample": 10}, [(".sample", "wrong_type")]),
        ({"sample": {"percent": 101}}, [(".sample.percent", "out_of_range")]),
        (
            {"sample": {"percent": "10", "salt": 5}},
            [(".sample.percent", "number_as_text"), (".sample.salt", "wrong_type")],
        ),
        ({"segment": 5}, [(".segment", "wrong_type")]),
        ({"segment": "nobody"}, [(".segment", "unknown_segment")]),
        # order_gap
        ({"order_gap": {}}, [(".order_gap.ratio", "missing_field")]),
        ({"order_gap": {"ratio": 2}}, [(".order_gap.ratio", "wrong_type")]),
        ({"order_gap": {"ratio": {"gt": "2"}}}, [(".order_gap.ratio.gt", "number_as_text")]),
        ({"order_gap": {"ratio": {"gt": 2, "lt": 3}}}, [(".order_gap.ratio.lt", "two_operators")]),
        *[
            ({"order_gap": {"ratio": {"gt": 2}, "min_orders": bad}}, [(".order_gap.min_orders", "out_of_range")])
            for bad in (0, 2.5, 10**7)
        ],
        ({"order_gap": {"ratio": {"gt": 2}, "within": "1d"}}, [(".order_gap.within", "unknown_field")]),
        # rank
        ({"rank": {}}, [(".rank.by", "missing_field"), (".rank.top_percent", "missing_field")]),
        ({"rank": {"by": {}, "top_percent": 20}}, [(".rank.by.event", "missing_field")]),
        *[
            ({"rank": {"by": ORDER, "top_percent": bad}}, [(".rank.top_percent", "out_of_range")])
            for bad in (0, -1, 100.5)
        ],
        ({"rank": {"by": ORDER, "top_percent": "20"}}, [(".rank.top_percent", "number_as_text")]),
        ({"rank": {"by": order(sum="a", avg="b"), "top_percent": 1}}, [(".rank.by.avg", "two_aggregates")]),
        ({"rank": {"by": order(count=True, max="b"), "top_percent": 1}}, [(".rank.by.max", "two_aggregates")]),
        ({"rank": {"by": order(count=3), "top_percent": 1}}, [(".rank.by.count", "wrong_type")]),
        ({"rank": {"by": order(sum={"of": "a"}), "top_percent": 1}}, [(".rank.by.sum", "wrong_type")]),
        ({"rank": {"by": order(within="1d", to="2026-01-01"), "top_percent": 1}}, [(".rank.by.to", "two_windows")]),
        (
            {"rank": {"by": {"bought": {}}, "top_percent": 1}},
            [(".rank.by.event", "missing_field"), (".rank.by.bought", "unknown_field")],
        ),
        # rfm
        ({"rfm": {}}, [(".rfm", "missing_field")]),
        ({"rfm": 5}, [(".rfm", "wrong_type")]),
        ({"rfm": {"recency": None}}, [(".rfm.recency", "null")]),
        ({"rfm": {"recency": 4}}, [(".rfm.recency", "wrong_type")]),
        (
            {"rfm": {"recency": {"gte": "4"}, "x": 1}},
            [(".rfm.recency.gte", "number_as_text"), (".rfm.x", "unknown_field")],
        ),
        # replenish
        ({"replenish": {}}, [(".replenish.within", "missing_field")]),
        ({"replenish": "7d"}, [(".replenish", "wrong_type")]),
        ({"replenish": {"within": "soon"}}, [(".replenish.within", "bad_duration")]),
        # sequence
        ({"sequence": ORDER}, [(".sequence", "wrong_type")]),
        ({"sequence": []}, [(".sequence", "too_few")]),
        ({"sequence": [ORDER]}, [(".sequence", "too_few")]),
        ({"sequence": [ORDER] * 11}, [(".sequence", "too_many")]),
        ({"sequence": [ORDER, {}]}, [(".sequence[1].event", "missing_field")]),
        ({"sequence": [ORDER, {"all": []}]}, [(".sequence[1].all", "unknown_field")]),
        ({"sequence": [ORDER, order(within="1d")]}, [(".sequence[1].within", "unknown_field")]),
        ({"sequence": [ORDER, order(count={"gte": 2})]}, [(".sequence[1].count", "unknown_field")]),
        ({"sequence": [ORDER, order(bought={})]}, [(".sequence[1].bought", "two_conditions")]),
        ({"sequence": [ORDER, {"bought": {}, "where": {}}]}, [(".sequence[1].where", "unknown_field")]),
        ({"sequence": [order(where={"a": 1}), ORDER]}, [(".sequence[0].where.a", "wrong_type")]),
        ({"sequence": [order(absent="yes"), ORDER]}, [(".sequence[0].absent", "wrong_type")]),
        ({"sequence": [order(absent=True), ORDER]}, [(".sequence[0].absent", "absent_not_last")]),
        ({"sequence": [order(absent=True)] * 2}, [(".sequence[0].absent", "absent_not_last")]),
        ({"sequence": [ORDER, ORDER], "gap": "1h"}, [(".gap", "gap_without_absent")]),
        ({"sequence": [ORDER, order(absent=True)], "gap": "0h"}, [(".gap", "bad_duration")]),
        ({"sequence": [ORDER, order(absent=True)], "same": ""}, [(".same", "empty")]),
        ({"sequence": [ORDER, ORDER], "from": "2026-01-01"}, [(".from", "unknown_field")]),
        # subscription, topic, message
        ({"subscription": []}, [(".subscription", "wrong_type")]),
        ({"subscription": {"browser": "firefox"}}, [(".subscription.browser", "wrong_type")]),
        ({"subscription": {"browser": {}}}, [(".subscription.browser", "missing_operator")]),
        ({"subscription": {"endpoint": {"eq": "x"}}}, [(".subscription.endpoint", "unknown_field")]),
        ({"subscription": {"browser": None}}, [(".subscription.browser", "null")]),
        ({"subscription": {"created_at": {"after": "soon"}}}, [(".subscription.created_at.after", "bad_date")]),
        ({"topic": ""}, [(".topic", "empty")]),
        ({"topic": ["sales"]}, [(".topic", "wrong_type")]),
        ({"message": "shown"}, [(".message", "wrong_type")]),
        ({"message": {}}, [(".message.outcome", "missing_field")]),
        ({"message": {"outcome": "opened"}}, [(".message.outcome", "unknown_outcome")]),
        ({"message": {"outcome": ["shown"]}}, [(".message.outcome", "unknown_outcome")]),
        (
            {"message": {"campaign": 5, "outcome": "shown", "within": "30"}},
            [(".message.within", "bad_duration"), (".message.campaign", "wrong_type")],
        ),
        ({"message": {"campaign": "no", "outcome": "shown"}}, [(".message.campaign", "unknown_campaign")]),
        (
            {"message": {"outcome": "shown", "within": "1d", "to": "2024-01-01"}},
            [(".message.to", "two_windows")],
        ),
        (
            {"message": {"outcome": "shown", "from": "2024-01-02", "to": "2024-01-01"}},
            [(".message.to", "empty_window")],
        ),
        ({"message": {"outcome": "shown"}, "within": "1d"}, [(".within", "unknown_field")]),
        # text and size
        (attribute(eq="a\0b"), [(".eq", "bad_text")]),
        (attribute(in_=["a", "\ud800"]), [(".in[1]", "bad_text")]),
        (order(where={"\udfff": {"eq": 1}}), None),
        (DEEP, [(".not" * 20, "too_deep")]),
        (TWENTY, []),
        ({"all": [ORDER] * 500}, [("", "too_many")]),
        ({"all": [ORDER] * 499}, []),
        ({"all": [attribute(in_=["a"] * 1000)] * 11}, [("$", "too_many")]),
    ],
)
def test_nodes(node: Any, expected: list[tuple[str, str]] | None) -> None:
    found = node_faults(node)
    if expected is None:
        assert len(found) == 1
    else:
        assert found == expected


def test_a_document_of_any_depth_is_no_crash() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    assert node_faults(attribute(in_=deep))[0][1] == "too_deep"
    deeper: Any = ORDER
    for _ in range(100_000):
        deeper = {"all": [deeper]}
    assert "too_deep" in {code for _path, code in node_faults(deeper)}


def test_all_faults_at_once() -> None:
    node = {"all": [attribute(eq=[]), {"not": {"x": 1}}, order(within="x", count={"gte": "1"}), {"y": {}}]}
    assert {path for path, _code in node_faults(node)} == {
        ".all[0].eq",
        ".all[1].not",
        ".all[2].within",
        ".all[2].count.gte",
        ".all[3]",
    }


def _context(own_id: str | None = None, /, **graph: str | None) -> Context:
    """Segments by id, each naming at most one other."""

    def find(id: str) -> StoredSegment | None:
        if id not in graph:
            return None
        named = graph[id]
        return StoredSegment(id, id, {"version": 1, "where": {"not": {"segment": named}} if named else ORDER})

    return Context(UTC, find, own_id)


def test_segments_never_lead_back_nor_too_deep() -> None:
    assert node_faults({"segment": "a"}, _context(a="b", b=None)) == []
    assert node_faults({"segment": "a"}, _context("own", a="b", b="own", own=None)) == [(".segment", "segment_cycle")]
    assert node_faults({"segment": "own"}, _context("own", own=None)) == [(".segment", "segment_cycle")]
    chain = {f"s{index}": f"s{index + 1}" for index in range(10)}
    assert node_faults({"segment": "s1"}, _context(**chain, s10=None)) == []
    assert node_faults({"segment": "s0"}, _context(**chain, s10=None)) == [(".segment", "too_deep")]


def test_segments_are_counted_as_often_as_they_are_named() -> None:
    """Ten of ten of ten of ten conditions are too many, however few each rule has."""
    rules: dict[str, Any] = {"s0": {"any": [ORDER] * 10}}
    for depth in (1, 2, 3):
        rules[f"s{depth}"] = {"any": [{"not": {"segment": f"s{depth - 1}"}} for _ in range(10)]}
    context = Context(segment=lambda id: StoredSegment(id, id, {"version": 1, "where": rules[id]}))
    assert node_faults({"segment": "s2"}, context) == []
    assert node_faults({"segment": "s3"}, context) == [("", "too_many")]
