"""What the API refuses of segments: bad input, other sites' ids, keys without the scope."""

from typing import Any

from push_server.db import Database
from push_server.sites.models import Scope
from push_server.sites.service import add_secret_key
from tests.integration.audiences.shop import EVERYONE, Api, rule


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
