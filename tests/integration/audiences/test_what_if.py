"""Questions of somebody who plans with segments: diff, overlap, backtest, and estimates that outdate each other."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from push_server.audiences.editor import newest_only
from push_server.db import Database
from push_server.errors import Conflict
from push_server.sites.models import Scope
from push_server.sites.service import add_secret_key
from tests.integration.audiences.shop import EVERYONE, NOW, ORDER, Api, at, rule
from tests.integration.test_subscriptions import FIREFOX, subscription

NOBODY: dict[str, Any] = {"any": []}


def opt_in(api: Api, customer: str) -> None:
    body = {"subscription": subscription(FIREFOX + customer), "anonymousId": f"browser-{customer}", "userId": customer}
    answer = api.client.post("/v1/subscriptions", json=body | {"writeKey": api.site.public_key})
    assert answer.status_code == 201, answer.text


def country(name: str) -> dict[str, Any]:
    return {"attribute": "country", "eq": name}


def test_a_diff_says_who_would_come_and_go(api: Api) -> None:
    api.customers("a", "b", "c", country="HU")
    api.customers("d", "e", country="NO")
    for customer in ("a", "d"):
        api.order(customer)
        opt_in(api, customer)
    buyers = api.segment("Buyers", ORDER)
    hungary = api.segment("Hungary", {"any": [country("HU"), {"segment": buyers["id"]}]})
    path = f"/v1/segments/{hungary['id']}"
    found = api.call("POST", f"{path}/diff", json={"rule": rule({"all": [{"segment": buyers["id"]}, country("NO")]})})

    def names(part: str) -> set[str]:
        return {row["external_id"] for row in found[part]["sample"]}

    assert {
        part: (found[part]["size"], found[part]["reachable"], names(part)) for part in ("stays", "enters", "leaves")
    } == {
        "stays": (1, 1, {"d"}),
        "enters": (0, 0, set()),
        "leaves": (3, 1, {"a", "b", "c"}),
    }
    assert found["at"] == "2026-03-01T12:00:00Z"
    found = api.call("POST", f"{path}/diff", json={"rule": rule({"not": country("HU")})})
    assert (names("stays"), names("enters"), found["leaves"]["size"]) == ({"d"}, {"e"}, 3)
    # before the orders, those who had none yet
    found = api.call("POST", f"{path}/diff", json={"rule": rule(EVERYONE), "at": "2026-03-01T11:59:59.999999Z"})
    assert (found["stays"]["size"], names("enters")) == (3, {"d", "e"})
    assert api.call("GET", path) == hungary
    refused = api.call("POST", f"{path}/diff", 422, json={"rule": rule({"segment": hungary["id"]})})
    assert [(fault["path"], fault["code"]) for fault in refused["errors"]] == [
        ("$.rule.where.segment", "segment_cycle")
    ]


def test_a_diff_shows_a_few_of_many(api: Api) -> None:
    api.customers(*(f"c{number}" for number in range(8)))
    nobody = api.segment("Nobody", NOBODY)
    found = api.call("POST", f"/v1/segments/{nobody['id']}/diff", json={"rule": rule(EVERYONE)})
    assert (found["enters"]["size"], len(found["enters"]["sample"])) == (8, 5)


def test_what_segments_have_in_common(api: Api) -> None:
    letters = {"a": "abcd", "b": "bcx", "c": "cd", "none": ""}
    for name in "abcdx":
        api.customers(name, letter=name)
    ids = {
        name: api.segment(name, {"any": [{"attribute": "letter", "eq": each} for each in members]})["id"]
        for name, members in letters.items()
    }
    order = ["b", "none", "a", "c"]
    found = api.call("POST", "/v1/segments/overlap", json={"segments": [ids[name] for name in order]})
    assert found["segments"] == [
        {
            "id": ids[name],
            "name": name,
            "size": len(letters[name]),
            "exclusive": len(
                set(letters[name]) - {each for other in order if other != name for each in letters[other]}
            ),
        }
        for name in order
    ]
    for pair in found["pairs"]:
        one, other = (set(letters[next(name for name, id in ids.items() if id == each)]) for each in pair["segments"])
        assert pair["both"] == len(one & other)
        assert pair["jaccard"] == (round(len(one & other) / len(one | other), 6) if one | other else None)
    assert len(found["pairs"]) == 6
    assert (found["any"], found["all"]) == (5, 0)
    found = api.call("POST", "/v1/segments/overlap", json={"segments": [ids["none"], ids["c"]]})
    assert found["pairs"][0]["jaccard"] == 0
    api.customers("late", letter="d")
    at(NOW + timedelta(minutes=1))
    found = api.call("POST", "/v1/segments/overlap", json={"segments": [ids["a"], ids["c"]]})
    assert ([each["size"] for each in found["segments"]], found["all"]) == ([5, 3], 3)


def test_a_backtest_counts_facts_up_to_each_instant(api: Api) -> None:
    api.customers("a", "b", "c")
    api.order("a", datetime.fromisoformat("2026-02-01T10:00:00+00:00"))
    api.order("b", datetime.fromisoformat("2026-02-03T00:00:00+00:00"))

    def sizes(node: Any, start: str, **more: Any) -> list[tuple[str, int]]:
        found = api.call("POST", "/v1/segments/backtest", json={"rule": rule(node), "from": start, **more})
        return [(point["at"], point["size"]) for point in found["points"]]

    bought = {**ORDER, "within": "2d"}
    assert sizes(bought, "2026-02-01", to="2026-02-05", step="1d") == [
        ("2026-02-01T00:00:00Z", 0),
        ("2026-02-02T00:00:00Z", 1),
        ("2026-02-03T00:00:00Z", 2),
        ("2026-02-04T00:00:00Z", 1),
        ("2026-02-05T00:00:00Z", 0),
    ]
    assert sizes(ORDER, "2026-02-28T12:00:00Z") == [("2026-02-28T12:00:00Z", 2), ("2026-03-01T12:00:00Z", 2)]
    assert sizes(ORDER, "2026-02-01T09:30:00Z", to="2026-02-01T11:00:00Z", step="30m") == [
        ("2026-02-01T09:30:00Z", 0),
        ("2026-02-01T10:00:00Z", 1),
        ("2026-02-01T10:30:00Z", 1),
        ("2026-02-01T11:00:00Z", 1),
    ]


def test_days_of_a_backtest_are_the_shops(api: Api) -> None:
    api.call("PATCH", "/v1/site", json={"time_zone": "Europe/Budapest"})
    body = {"rule": rule(EVERYONE), "from": "2025-10-25", "to": "2025-10-28", "step": "1d"}
    found = api.call("POST", "/v1/segments/backtest", json=body)
    assert [point["at"] for point in found["points"]] == [
        "2025-10-24T22:00:00Z",
        "2025-10-25T22:00:00Z",
        "2025-10-26T23:00:00Z",
        "2025-10-27T23:00:00Z",
    ]
    found = api.call("POST", "/v1/segments/backtest", json=body | {"step": "24h"})
    assert [point["at"][11:13] for point in found["points"]] == ["22"] * 4
    body |= {"from": "2025-03-29T02:30:00", "to": "2025-03-31"}  # half past two is left out on the 30th
    found = api.call("POST", "/v1/segments/backtest", json=body)
    assert [point["at"] for point in found["points"]] == ["2025-03-29T01:30:00Z", "2025-03-30T01:30:00Z"]


def test_a_backtest_as_a_whole_is_bounded(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.customers(*(f"c{number}" for number in range(50)), text="x" * 1000)
    monkeypatch.setattr("push_server.audiences.backtest._LONGEST", 0)
    body = {"rule": rule(EVERYONE), "from": "2026-02-01"}
    refused = api.call("POST", "/v1/segments/backtest", 422, json=body)
    assert (refused["code"], "0 of 29" in refused["detail"]) == ("rule_too_slow", True)


SLOW: dict[str, Any] = {"any": [{"attribute": "text", "contains": f"y{number}"} for number in range(450)]}


class Editing:
    """Slow estimates in threads of their own, as an editor's console sends them."""

    def __init__(self, api: Api, watch: psycopg.Connection) -> None:
        self.api, self.watch = api, watch
        self.answers: dict[str, Any] = {}
        self.threads: list[threading.Thread] = []

    def start(self, name: str, editor: str | None, **headers: str) -> None:
        """Send a slow estimate, and return when its statement is running."""
        running = set(self.running())
        named = headers | ({"Homing-Editor": editor} if editor else {})
        thread = threading.Thread(target=self._ask, args=(name, SLOW, named))
        thread.start()
        self.threads.append(thread)
        while not set(self.running()) - running:
            assert thread.is_alive(), self.answers
        assert name not in self.answers

    def ask(self, name: str, editor: str | None, **headers: str) -> None:
        """Send one that is fast."""
        self._ask(name, EVERYONE, headers | ({"Homing-Editor": editor} if editor else {}))

    def _ask(self, name: str, node: Any, headers: dict[str, str]) -> None:
        answer = self.api.client.post("/v1/segments/estimate", json={"rule": rule(node)}, headers=headers)
        self.answers[name] = (answer.status_code, answer.json().get("code"))

    def running(self) -> list[int]:
        query = (
            "select pid from pg_stat_activity where state = 'active' and datname = current_database()"
            " and query like '%strpos%' and pid <> pg_backend_pid()"
        )
        return [pid for (pid,) in self.watch.execute(query).fetchall()]

    def end(self) -> None:
        for pid in self.running():
            self.watch.execute("select pg_cancel_backend(%s)", [pid])
        for thread in self.threads:
            thread.join(30)


@pytest.fixture
def editing(api: Api, db: Database) -> Iterator[Editing]:
    with db.connect(autocommit=True) as watch:
        watch.execute(
            "insert into customer (site_id, external_id, attributes) select %s, n::text,"
            " jsonb_build_object('text', repeat('x', 4000)) from generate_series(1, 6000) n",
            [api.site_id],
        )
        editing = Editing(api, watch)
        yield editing
        editing.end()


def test_a_newer_estimate_cancels_the_one_that_it_outdates(editing: Editing) -> None:
    editing.start("old", "tab 1")
    editing.start("newer", "tab 1")
    editing.ask("newest", "tab 1")
    editing.end()
    assert editing.answers == {"old": (409, "superseded"), "newer": (409, "superseded"), "newest": (200, None)}


def test_estimates_of_others_are_left_alone(api: Api, db: Database, editing: Editing) -> None:
    with db.session(site_id=api.site_id) as session:
        key, _row = add_secret_key(session, "other", [Scope.SEGMENTS_READ])
    other_shop = Api(db, "Other")
    editing.start("old", "tab 1")
    editing.ask("another tab", "tab 2")
    editing.ask("no tab", None)
    editing.ask("another key", "tab 1", Authorization=f"Bearer {key}")
    editing.ask("another shop", "tab 1", Authorization=f"Bearer {other_shop.site.secret_key}")
    assert len(editing.running()) == 1
    assert "old" not in editing.answers
    editing.ask("newer", "tab 1")
    editing.end()
    assert editing.answers.pop("old") == (409, "superseded")
    assert set(editing.answers.values()) == {(200, None)}


def test_a_name_is_gone_before_the_connection_does_something_else(api: Api, db: Database) -> None:
    def name() -> str:
        return str(session.raw.execute("show application_name").fetchall()[0][0])

    with db.session(site_id=api.site_id) as session:
        before = name()
        with newest_only(session, 1, "tab"):
            assert name().startswith("homing editor ")
        assert name() == before
        with pytest.raises(ValueError), newest_only(session, 1, "tab"):  # noqa: PT012
            assert name() != before
            raise ValueError
        assert name() == before


def test_of_two_that_start_at_once_the_older_gives_up(api: Api, db: Database) -> None:
    """Its own cancellation may have come before it had a statement to cancel; it sees the newer one's name."""
    with db.session(site_id=api.site_id) as newer, newest_only(newer, 1, "tab"):
        (shown,) = newer.raw.execute("show application_name").fetchall()[0]
        newer.raw.execute("select set_config('application_name', %s, true)", [shown[:-16] + "f" * 16])
        with (
            pytest.raises(Conflict) as refused,
            db.session(site_id=api.site_id) as older,
            newest_only(older, 1, "tab"),
        ):
            raise AssertionError("it should not have begun")
    assert refused.value.code == "superseded"


def test_an_estimate_that_is_cancelled_by_hand_is_not_a_slow_rule(editing: Editing) -> None:
    editing.start("old", None)
    editing.end()
    assert editing.answers == {"old": (503, "unavailable")}


def test_two_thousand_dates_are_a_rule_like_any_other(api: Api) -> None:
    api.order("a")
    dates = [{"event": f"Event {n}", "where": {f"p{m}": {"within_last": "3d"} for m in range(48)}} for n in range(42)]
    assert api.estimate({"any": [ORDER, *dates]})["size"] == 1
