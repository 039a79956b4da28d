"""Bad requests to the paths that answer questions about segments: diff, overlap, backtest, and who edits."""

from typing import Any

from push_server.http import encode_cursor
from tests.contract.bad import Bad
from tests.contract.bad_management import NO_ID

EVERYONE = {"version": 1, "where": {"all": []}}
NO_RULE = {"version": 1, "where": {"event": 7}}
SEGMENTS = "/v1/segments"


def backtest(fault: str, **change: Any) -> Bad:
    body = {"rule": EVERYONE, "from": "2026-01-01", "to": "2026-01-05", **change}
    code = "invalid_rule" if fault.startswith("$.rule") else "invalid"
    return Bad("POST", f"{SEGMENTS}/backtest", 422, code, json=body, fault=fault)


def overlap(fault: str, ids: Any, code: str = "invalid") -> Bad:
    return Bad("POST", f"{SEGMENTS}/overlap", 422, code, json={"segments": ids}, fault=fault)


def estimate(editor: str) -> Bad:
    body = {"rule": EVERYONE}
    headers = {"Homing-Editor": editor}
    path, fault = f"{SEGMENTS}/estimate", "header:Homing-Editor"
    return Bad("POST", path, 422, "invalid", json=body, headers=headers, fault=fault)


PLANNING = [
    backtest("$.rule.where.event", rule=NO_RULE),
    backtest("$.from", **{"from": "1969-12-31"}),
    backtest("$.from", **{"from": "yesterday"}),
    backtest("$.from", **{"from": None}),
    backtest("$.from", **{"from": "2026-01-06"}),
    backtest("$.from", **{"from": "2190-01-01"}),
    backtest("$.to", to="2190-01-01"),
    backtest("$.to", to=5),
    backtest("$.step", step="30m"),
    backtest("$.step", step="1m"),
    backtest("$.step", step="0d"),
    backtest("$.step", step="1y"),
    backtest("$.step", step="99999999w"),
    backtest("$.step", step=1),
    backtest("$.steps", steps=3),
    Bad("POST", f"{SEGMENTS}/backtest", 422, "invalid", json={"rule": EVERYONE}, fault="$.from"),
    overlap("$.segments", []),
    overlap("$.segments", [NO_ID]),
    overlap("$.segments", [NO_ID] * 11),
    overlap("$.segments[1]", [NO_ID, 7]),
    overlap("$.segments[1]", [NO_ID, "\0"]),
    overlap("$.segments[0]", [NO_ID, "none"], "unknown_segment"),
    overlap("$.segments[1]", [NO_ID, "none"], "unknown_segment"),
    Bad("POST", f"{SEGMENTS}/{NO_ID}/diff", 404, "no_such_segment", json={"rule": EVERYONE}),
    Bad("POST", f"{SEGMENTS}/none/diff", 404, "no_such_segment", json={"rule": EVERYONE}),
    Bad("POST", f"{SEGMENTS}/{NO_ID}/diff", 422, "invalid", json={}, fault="$.rule"),
    Bad("POST", f"{SEGMENTS}/{NO_ID}/export", 404, "no_such_segment"),
    Bad("POST", f"{SEGMENTS}/none/export", 404, "no_such_segment"),
    *[
        Bad("GET", f"{SEGMENTS}/{NO_ID}/{path}", 404, "no_such_segment")
        for path in ("changes", "growth", "members?as_of=2026-01-01")
    ],
    Bad("GET", f"{SEGMENTS}/{NO_ID}/members?as_of=2190-01-01", 422, "invalid", fault="query:as_of"),
    Bad("GET", f"{SEGMENTS}/{NO_ID}/members?as_of=now", 422, "invalid", fault="query:as_of"),
    Bad("GET", f"{SEGMENTS}/{NO_ID}/members?as_of=2026-01-01T00:00:00+02:00", 422, "invalid", fault="query:as_of"),
    Bad("GET", f"{SEGMENTS}/{NO_ID}/growth?from=2190-01-01", 422, "invalid", fault="query:from"),
    Bad("GET", f"{SEGMENTS}/{NO_ID}/growth?from=2020-01-01&step=1h", 422, "invalid", fault="query:step"),
    Bad("GET", f"{SEGMENTS}/{NO_ID}/changes?cursor=Wzcs", 400, "bad_cursor"),
    Bad("GET", f"{SEGMENTS}/{NO_ID}/changes?cursor={encode_cursor([10**30, 1])}", 400, "bad_cursor"),
    Bad("GET", f"{SEGMENTS}/{NO_ID}/changes?cursor={encode_cursor([1, 2**63])}", 400, "bad_cursor"),
    estimate(""),
    estimate("x" * 65),
]
