"""Segments over the API: made, edited, refused, counted, paged, and always as of now."""

import threading
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.testclient import TestClient

from push_server import clock
from push_server.app import create_app
from push_server.audiences import reach, step
from push_server.audiences.refresh import tick
from push_server.db import Database
from push_server.settings import settings
from push_server.sites.models import Scope
from push_server.sites.service import add_secret_key, create_site
from tests.integration.test_subscriptions import FIREFOX, subscription

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ORDER = {"event": "Order Completed"}
EVERYONE: dict[str, Any] = {"all": []}


def rule(node: Any) -> dict[str, Any]:
    return {"version": 1, "where": node}


class Api:
    """A site's management side, and its time."""

    def __init__(self, db: Database, name: str = "Shop") -> None:
        with db.session() as session:
            self.site = create_site(session, name, ["https://shop.example"])
            self.site_id = session.site_id
        self.client = TestClient(create_app(), raise_server_exceptions=False)
        self.client.headers["Authorization"] = f"Bearer {self.site.secret_key}"

    def call(self, method: str, path: str, status: int = 200, **more: Any) -> Any:
        answer = self.client.request(method, path, **more)
        assert answer.status_code == status, answer.text
        return answer.json() if answer.content else None

    def segment(self, name: str, node: Any, status: int = 201) -> dict[str, Any]:
        made: dict[str, Any] = self.call("POST", "/v1/segments", status, json={"name": name, "rule": rule(node)})
        return made

    def estimate(self, node: Any, **more: Any) -> dict[str, Any]:
        made: dict[str, Any] = self.call("POST", "/v1/segments/estimate", json={"rule": rule(node), **more})
        return made

    def members(self, id: str) -> dict[str, str]:
        """external id → since."""
        page = self.call("GET", f"/v1/segments/{id}/members", params={"limit": 1000})
        assert page["next_cursor"] is None
        return {row["external_id"]: row["since"] for row in page["data"]}

    def customers(self, *ids: str, **attributes: Any) -> None:
        for id in ids:
            assert self.client.put(f"/v1/customers/{id}", json={"attributes": attributes}).is_success

    def order(self, customer: str, at: datetime = NOW, **properties: Any) -> None:
        properties.setdefault("order_id", f"{customer}-{at.isoformat()}")
        event = {"userId": customer, "timestamp": at.isoformat(), "properties": properties}
        self.call("POST", "/v1/track", json={**ORDER, **event})


@pytest.fixture
def api(db: Database) -> Iterator[Api]:
    at(NOW)
    made = Api(db)
    with made.client:
        yield made


def at(instant: datetime) -> None:
    clock.set_source(lambda: instant)


def test_a_segment_from_making_to_deleting(api: Api) -> None:
    api.customers("a", "b", country="HU")
    api.customers("c", country="NO")
    made = api.segment("Hungary", {"attribute": "country", "eq": "HU"})
    assert made == {
        "id": made["id"],
        "name": "Hungary",
        "rule": rule({"attribute": "country", "eq": "HU"}),
        "sentence": "Customers whose country is “HU”.",
        "size": 2,
        "reachable": 0,
        "fresh_at": "2026-03-01T12:00:00Z",
        "state": "ready",
        "progress": 1.0,
        "border": None,
    }
    path = f"/v1/segments/{made['id']}"
    assert api.call("GET", path) == made
    assert api.call("GET", "/v1/segments")["data"] == [made]
    assert api.call("PATCH", path, json={"name": "Norway"}) == {**made, "name": "Norway"}
    changed = api.call("PATCH", path, json={"rule": rule({"attribute": "country", "eq": "NO"})})
    assert (changed["name"], changed["size"], changed["sentence"]) == ("Norway", 1, "Customers whose country is “NO”.")
    assert api.members(made["id"]) == {"c": "2026-03-01T12:00:00Z"}
    api.call("DELETE", path, 204)
    api.call("GET", path, 404)
    assert api.call("GET", "/v1/segments") == {"data": [], "next_cursor": None}


def test_members_follow_events_and_time(api: Api) -> None:
    api.customers("a", "b")
    api.order("a")
    made = api.segment("Bought today", {**ORDER, "within": "1d"})
    assert api.members(made["id"]) == {"a": "2026-03-01T12:00:00Z"}
    at(NOW + timedelta(seconds=2))
    api.order("b", NOW + timedelta(seconds=1))
    assert api.members(made["id"]) == {"a": "2026-03-01T12:00:00Z", "b": "2026-03-01T12:00:02Z"}
    at(NOW + timedelta(days=1))  # a's order leaves the window at this very instant
    assert set(api.members(made["id"])) == {"b"}
    assert api.call("GET", f"/v1/segments/{made['id']}")["size"] == 1
    at(NOW + timedelta(days=1, seconds=2))
    assert api.call("GET", "/v1/segments")["data"][0]["size"] == 0


def test_members_who_stay_keep_their_since_under_another_rule(api: Api) -> None:
    api.customers("a", "b", vip=True)
    made = api.segment("Vip", {"attribute": "vip", "eq": True})
    api.customers("c")
    at(NOW + timedelta(hours=1))
    api.call("PATCH", f"/v1/segments/{made['id']}", json={"rule": rule(EVERYONE)})
    assert api.members(made["id"]) == {
        "a": "2026-03-01T12:00:00Z",
        "b": "2026-03-01T12:00:00Z",
        "c": "2026-03-01T13:00:00Z",
    }


def test_pages_hold_while_members_come_and_go(api: Api) -> None:
    names = [f"c{number}" for number in range(9)]
    api.customers(*names, vip=True)
    made = api.segment("Vip", {"attribute": "vip", "eq": True})
    path = f"/v1/segments/{made['id']}/members"
    first = api.call("GET", path, params={"limit": 4})
    seen = [row["external_id"] for row in first["data"]]
    api.customers(seen[0], seen[3], vip=False)
    at(NOW + timedelta(minutes=1))
    second = api.call("GET", path, params={"limit": 4, "cursor": first["next_cursor"]})
    third = api.call("GET", path, params={"limit": 4, "cursor": second["next_cursor"]})
    seen += [row["external_id"] for row in second["data"] + third["data"]]
    assert (len(first["data"]), len(second["data"]), len(third["data"])) == (4, 4, 1)
    assert sorted(seen) == names
    assert third["next_cursor"] is None
    segments = [api.segment(str(number), EVERYONE)["id"] for number in range(3)]
    page = api.call("GET", "/v1/segments", params={"limit": 3})
    rest = api.call("GET", "/v1/segments", params={"limit": 3, "cursor": page["next_cursor"]})
    assert [row["id"] for row in page["data"] + rest["data"]] == [made["id"], *segments]


def test_estimates_are_exact_at_any_instant(api: Api) -> None:
    api.customers("a", "b", country="HU")
    api.customers("c", country=5)
    api.customers("d", age=7)
    api.order("a")
    browser = {"Authorization": "Basic " + b64encode(f"{api.site.public_key}:".encode()).decode()}
    opt_in = {"subscription": subscription(FIREFOX + "a"), "anonymousId": "x", "userId": "a"}
    api.call("POST", "/v1/subscriptions", 201, json=opt_in, headers=browser)
    node = {"any": [{**ORDER, "within": "1d"}, {"attribute": "age", "gte": 1}, {"attribute": "country", "eq": "NO"}]}
    found = api.estimate(node)
    assert isinstance(found.pop("took_ms"), int)
    assert found.pop("sentence").startswith("Customers either with some “Order Completed” events")
    assert found == {"size": 2, "reachable": 1, "exact": True, "margin": 0, "missing": {"age": 3, "country": 1}}
    assert api.estimate(node, at="2026-03-02T12:00:00Z")["size"] == 1
    assert api.estimate(node, at="2026-03-02T12:59:59.999999+01:00")["size"] == 2
    assert api.estimate(node, at="2026-03-01T11:59:59.999999Z")["reachable"] == 0
    assert api.segment("x", node)["reachable"] == 1
    for bad in ("yesterday", "1969-12-31", "2200-01-01", 5, None, "2026-02-30"):
        answer = api.call("POST", "/v1/segments/estimate", 422, json={"rule": rule(EVERYONE), "at": bad})
        assert answer["errors"][0]["path"] == "$.at"


def test_estimates_of_attributes_alone_count_members_and_missing_values(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.customers("a", country="HU", age=30)
    api.customers("b", country="HU")
    api.customers("c", country="NO", age=20)
    api.customers("d", age="none")
    browser = {"Authorization": "Basic " + b64encode(f"{api.site.public_key}:".encode()).decode()}
    for user, endpoint in (("a", "1"), ("a", "2"), ("c", "3")):
        opt_in = {"subscription": subscription(FIREFOX + endpoint), "anonymousId": endpoint, "userId": user}
        api.call("POST", "/v1/subscriptions", 201, json=opt_in, headers=browser)
    either = {"any": [{"attribute": "country", "eq": "HU"}, {"attribute": "age", "lt": 25}]}
    counted = {"size": 3, "reachable": 2, "missing": {"age": 1, "country": 1}}
    for most in (100_000, 2):  # looked up one by one, and hashed
        monkeypatch.setattr(reach, "_FEW", most)
        found = api.estimate(either)
        assert {name: found[name] for name in counted} == counted
    nobody = api.estimate({"attribute": "country", "eq": "SE"})
    assert (nobody["size"], nobody["reachable"], nobody["missing"]) == (0, 0, {"country": 1})


def test_segments_are_made_of_segments(api: Api) -> None:
    api.customers("a", "b", "c")
    api.order("a")
    buyers = api.segment("Buyers", ORDER)
    others = api.segment("Others", {"not": {"segment": buyers["id"].upper()}})
    both = api.segment("Both", {"any": [{"segment": buyers["id"]}, {"segment": others["id"]}]})
    assert (buyers["size"], others["size"], both["size"]) == (1, 2, 3)
    assert others["sentence"] == "Customers except in the segment “Buyers”."
    assert api.estimate({"all": [{"segment": both["id"]}, {"not": {"segment": others["id"]}}]})["size"] == 1
    path = f"/v1/segments/{buyers['id']}"
    refused = api.call("PATCH", path, 422, json={"rule": rule({"not": {"segment": both["id"]}})})
    assert [(fault["path"], fault["code"]) for fault in refused["errors"]] == [
        ("$.rule.where.not.segment", "segment_cycle")
    ]
    in_use = api.call("DELETE", path, 409)
    assert in_use["code"] == "segment_in_use"
    assert "“Others”, “Both”" in in_use["detail"]
    at(NOW + timedelta(seconds=2))
    api.call("PATCH", path, json={"rule": rule({"any": []})})
    assert set(api.members(others["id"])) == {"a", "b", "c"}
    for segment in (both, others, buyers):
        api.call("DELETE", f"/v1/segments/{segment['id']}", 204)


def test_a_chain_of_segments_is_never_made_too_deep(api: Api) -> None:
    first, below = (api.segment(name, EVERYONE)["id"] for name in ("first", "below"))
    last = first
    for number in range(9):
        last = api.segment(str(number), {"segment": last})["id"]
    api.segment("tenth", {"segment": last})
    api.segment("below it all", {"segment": below})
    refused = api.call("PATCH", f"/v1/segments/{first}", 422, json={"rule": rule({"segment": below})})
    assert refused["errors"][0]["code"] == "too_deep"
    assert "tenth" in refused["detail"]


def test_two_edits_at_once_close_no_circle(api: Api) -> None:
    one, two = (api.segment(name, EVERYONE)["id"] for name in ("one", "two"))
    answers: list[int] = []

    def edit(id: str, other: str) -> None:
        answer = api.client.patch(f"/v1/segments/{id}", json={"rule": rule({"segment": other})})
        answers.append(answer.status_code)

    threads = [threading.Thread(target=edit, args=pair) for pair in ((one, two), (two, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 422]


def test_readers_at_once_do_not_collide(api: Api) -> None:
    api.customers(*(f"c{number}" for number in range(20)), vip=True)
    ids = [api.segment(str(number), {"attribute": "vip", "eq": True})["id"] for number in range(3)]
    api.customers("late", vip=True)
    at(NOW + timedelta(seconds=2))
    answers: list[Any] = []

    def read(number: int) -> None:
        paths = [f"/v1/segments/{ids[number % 3]}/members?limit=1000", "/v1/segments", "/v1/customers/late/segments"]
        answers.extend(api.client.get(path).status_code for path in paths)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 18
    assert [len(api.members(id)) for id in ids] == [21, 21, 21]


def test_a_segment_may_be_deleted_while_others_read_it(api: Api) -> None:
    api.customers("a", "b")
    for round in range(5):
        id = api.segment("x", EVERYONE)["id"]
        api.customers(f"late{round}")
        at(NOW + timedelta(minutes=round + 1))
        paths = ["/v1/segments", f"/v1/segments/{id}", f"/v1/segments/{id}/members", "/v1/customers/a/segments"]
        answers: list[int] = []
        calls = [("GET", path) for path in paths] + [("DELETE", f"/v1/segments/{id}")]
        threads = [threading.Thread(target=_status, args=(api, answers, *call)) for call in calls]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert answers.count(204) == 1
        assert set(answers) <= {200, 204, 404}


def _status(api: Api, answers: list[int], method: str, path: str) -> None:
    answers.append(api.client.request(method, path).status_code)


def test_what_a_customer_is_in(api: Api) -> None:
    api.customers("a", "b/c")
    api.order("a")
    buyers = api.segment("Buyers", ORDER)
    api.segment("Nobody", {"any": []})
    found = api.call("GET", "/v1/customers/a/segments")
    assert found["data"] == [{"id": buyers["id"], "name": "Buyers", "since": "2026-03-01T12:00:00Z"}]
    assert api.call("GET", "/v1/customers/b%2Fc/segments")["data"] == []
    api.call("GET", "/v1/customers/nobody/segments", 404)


def test_the_background_tells_when_somebody_came(api: Api, db: Database) -> None:
    made = api.segment("Buyers", ORDER)
    api.order("a", NOW)
    at(NOW + timedelta(seconds=5))
    assert tick(db) == 1
    at(NOW + timedelta(hours=1))
    assert api.members(made["id"]) == {"a": "2026-03-01T12:00:05Z"}


def test_a_rule_that_takes_too_long_is_refused(api: Api, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    api.customers(*(f"c{number}" for number in range(50)), text="x" * 1000)
    heavy = {"any": [{"attribute": "text", "contains": f"y{number}"} for number in range(400)]}
    made = api.segment("Heavy", heavy)
    monkeypatch.setenv("HOMING_RULE_TIMEOUT", "0.001")
    settings.cache_clear()
    assert api.segment("Too heavy", heavy, 422)["code"] == "rule_too_slow"
    assert api.call("POST", "/v1/segments/estimate", 422, json={"rule": rule(heavy)})["code"] == "rule_too_slow"
    at(NOW - timedelta(minutes=1))  # everything is evaluated anew
    path = f"/v1/segments/{made['id']}"
    assert api.call("GET", path)["fresh_at"] == "2026-03-01T12:00:00Z"  # stays as it was
    monkeypatch.undo()
    settings.cache_clear()
    assert api.call("GET", path)["fresh_at"] == "2026-03-01T12:00:00Z"  # set aside for a while
    step._not_before.clear()
    assert api.call("GET", path)["fresh_at"] == "2026-03-01T11:59:00Z"


def test_another_sites_segments_do_not_exist(api: Api, db: Database) -> None:
    other = Api(db, "Other")
    theirs = other.segment("Theirs", EVERYONE)["id"]
    for method, path, body in [
        ("GET", "", None),
        ("PATCH", "", {"name": "x"}),
        ("DELETE", "", None),
        ("GET", "/members", None),
    ]:
        answer = api.call(method, f"/v1/segments/{theirs}{path}", 404, json=body)
        assert answer["code"] == "no_such_segment"
    refused = api.segment("x", {"segment": theirs}, 422)
    assert refused["errors"][0]["code"] == "unknown_segment"
    assert api.call("GET", "/v1/segments")["data"] == []
    assert other.call("GET", f"/v1/segments/{theirs}")["name"] == "Theirs"


def test_keys_and_scopes(api: Api, db: Database) -> None:
    with db.session(site_id=api.site_id) as session:
        reader, _row = add_secret_key(session, "reader", [Scope.SEGMENTS_READ])
    bearer = {"Authorization": f"Bearer {reader}"}
    api.call("GET", "/v1/segments", headers=bearer)
    body = {"name": "x", "rule": rule(EVERYONE)}
    assert api.call("POST", "/v1/segments", 403, json=body, headers=bearer)["code"] == "scope_missing"
    public = {"Authorization": f"Bearer {api.site.public_key}"}
    api.call("GET", "/v1/segments", 401, headers=public)


BAD = [
    ("POST", "/v1/segments", {}, 422, ["$.name", "$.rule"]),
    ("POST", "/v1/segments", [], 422, ["$"]),
    ("POST", "/v1/segments", {"name": 5, "rule": rule(EVERYONE)}, 422, ["$.name"]),
    ("POST", "/v1/segments", {"name": " ", "rule": rule(EVERYONE)}, 422, ["$.name"]),
    ("POST", "/v1/segments", {"name": "a\0", "rule": rule(EVERYONE)}, 422, ["$.name"]),
    ("POST", "/v1/segments", {"name": "x", "rule": rule(EVERYONE), "size": 1}, 422, ["$.size"]),
    ("POST", "/v1/segments", {"name": "x", "rule": None}, 422, ["$.rule"]),
    ("POST", "/v1/segments", {"name": "x", "rule": {"version": 1}}, 422, ["$.rule.where"]),
    (
        "POST",
        "/v1/segments",
        {"name": "x", "rule": rule({"all": [{"a\0b": 1}]})},
        422,
        ['$.rule.where.all[0]["a\\u0000b"]'],
    ),
    ("POST", "/v1/segments", {"name": "x", "rule": rule({"rfm": {}})}, 422, ["$.rule.where.rfm"]),
    ("POST", "/v1/segments/estimate", {"rule": "x"}, 422, ["$.rule"]),
    (
        "POST",
        "/v1/segments/estimate",
        b'{"rule": {"version": 1, "where": {"attribute": "a", "eq": NaN}}}',
        422,
        ["$.rule.where.eq"],
    ),
    (
        "POST",
        "/v1/segments/estimate",
        b'{"rule": {"version": 1, "where": {"attribute": "\\ud800", "eq": 1}}}',
        422,
        ["$.rule.where.attribute"],
    ),
    (
        "POST",
        "/v1/segments/estimate",
        b'{"rule": {"version": 1, "where": {"attribute": "a", "eq": 1e999}}}',
        422,
        ["$.rule.where.eq"],
    ),
    ("POST", "/v1/segments/estimate", b"[" * 100_000, 400, None),
    ("POST", "/v1/segments/estimate", b'{"rule": ' + b"9" * 5000 + b"}", 400, None),
    ("POST", "/v1/segments/estimate", b"{", 400, None),
    ("GET", "/v1/segments?limit=0", None, 422, ["query:limit"]),
    ("GET", "/v1/segments?limit=1001", None, 422, ["query:limit"]),
    ("GET", "/v1/segments?cursor=zzz", None, 400, None),
    ("GET", "/v1/segments/nonsense", None, 404, None),
    ("GET", "/v1/segments/%00", None, 404, None),
    ("DELETE", "/v1/segments/01a20743-112f-772a-88c4-f744a5308b33", None, 404, None),
    ("PATCH", "/v1/segments/{id}", {"name": None}, 422, ["$.name"]),
    ("PATCH", "/v1/segments/{id}", {"rule": None}, 422, ["$.rule"]),
    ("PATCH", "/v1/segments/{id}", {"rule": rule({"segment": "{id}"})}, 422, ["$.rule.where.segment"]),
    ("GET", "/v1/segments/{id}/members?limit=x", None, 422, ["query:limit"]),
    ("GET", "/v1/segments/{id}/members?limit=1001", None, 422, ["query:limit"]),
    ("GET", "/v1/segments/{id}/members?cursor=WyJhIl0", None, 400, None),
    ("GET", "/v1/segments/{id}/members?as_of=2199-01-01T00:00:00Z", None, 422, ["query:as_of"]),
    ("GET", "/v1/segments/{id}/explain/a", None, 404, None),
]


def test_bad_input_is_a_problem_with_a_path(api: Api) -> None:
    id = api.segment("x", EVERYONE)["id"]
    for method, path, body, status, paths in BAD:
        content = body if isinstance(body, bytes) else None
        document = None if content or body is None else _named(body, id)
        headers = {"Content-Type": "application/json"} if content else None
        answer = api.client.request(method, path.replace("{id}", id), content=content, json=document, headers=headers)
        assert answer.status_code == status, (method, path, answer.text)
        assert answer.headers["content-type"] == "application/problem+json", (path, body)
        assert answer.json()["code"]
        if paths is not None:
            assert [fault["path"] for fault in answer.json()["errors"]] == paths, (path, answer.text)


def _named(body: Any, id: str) -> Any:
    if isinstance(body, dict):
        return {key: _named(value, id) for key, value in body.items()}
    return id if body == "{id}" else body
