"""What customers are worth, in order: borders follow it at every step, and it is filled by and by."""

import random
import time
from bisect import bisect_left, bisect_right
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import column, text

from push_server.audiences import borders, crossings, refresh, worths, worths_stored
from push_server.audiences.places import Place, Standing, found_anew, moved
from push_server.audiences.worths import Worths
from push_server.db import Database, SiteSession
from push_server.sites.service import create_site
from tests.integration.audiences.shop import NOW, ORDER, Api
from tests.integration.audiences.test_borders import live
from tests.integration.test_refresh_agrees import unresting

__all__ = ["unresting"]

concerned = worths._concerned


def site(session: SiteSession) -> int:
    create_site(session, "Shop", ["https://shop.example"])
    return session.site_id


def never(*_: Any) -> Any:
    raise AssertionError("a border was found over everyone")


def check_kept(db: Database) -> None:
    """Everything that is counted is as the rows are."""
    with db.connect() as conn:
        wrong = conn.execute(
            "select m.id from worth_measure m where filled_to is null and (ranked, worthy) is distinct from"
            " (select (count(*)::int, count(worth)::int) from customer_worth where measure_id = m.id)"
            " union all select p.measure_id from worth_place p join worth_measure m on m.id = p.measure_id"
            " where filled_to is null and (below, upto) is distinct from (select (count(*) filter (where w.worth <"
            " p.worth)::int, count(*) filter (where w.worth <= p.worth)::int) from customer_worth w"
            " where measure_id = m.id)"
        ).fetchall()
        assert wrong == []


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """What failed in another test is another measure."""
    none = dict[int, float]()
    monkeypatch.setattr(worths, "_not_before", none)
    return none


@pytest.fixture
def kept(unresting: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """All is filled at once, and so no border is found over everyone but the first one."""
    monkeypatch.setattr(worths, "FILLING", 60)
    monkeypatch.setattr(borders, "_find_again", never)


def watch(api: Api, db: Database, seed: int, steps: int = 25) -> None:
    """Members and counts are right after every step."""
    live(api, db, seed, steps, lambda: check_kept(db))


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("seed", [pytest.param(3, marks=pytest.mark.nightly), 4])
def test_borders_follow_at_every_step(api: Api, db: Database, seed: int) -> None:
    watch(api, db, seed)
    with db.connect() as conn:
        assert conn.execute("select count(*), count(filled_to) from worth_measure").fetchone() == (11, 0)
        assert conn.execute("select count(*) from segment_border where is_due or cost_ms > 0").fetchone() == (0,)
        assert conn.execute("select count(*) from segment where fresh_at > %s", [NOW]).fetchone() == (0,)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("place", "name", "broken"),
    [
        (worths, "_passed", lambda *_: set()),
        (worths, "_concerned", lambda keys, _changes, passed: concerned(keys, {}, passed)),
        (worths, "moved", lambda _session, _id, standing, _position: standing),
        (Worths, "between", lambda *_: []),
        (Worths, "has_changed", lambda *_: False),
        (Standing, "after", lambda standing, *_: standing),
    ],
)
def test_what_is_left_behind_shows(
    api: Api, db: Database, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, broken: Any
) -> None:
    monkeypatch.setattr(place, name, broken)
    with pytest.raises(AssertionError, match=r"in step|over everyone"):
        watch(api, db, 3)


def test_filled_by_and_by(api: Api, db: Database, unresting: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slice a step: whoever changes meanwhile is right, on this side of it and beyond."""
    monkeypatch.setattr(worths, "FILLING", -1)
    monkeypatch.setattr(worths_stored, "_FIRST_WIDTH", 2**31 // 9)
    filled: list[int] = []

    def look() -> None:
        check_kept(db)
        filled.append(full(db))

    live(api, db, 5, 20, look)
    assert (filled[7], filled[-1]) == (0, 11)


def test_where_too_many_cross_an_edge_all_is_filled_anew(
    api: Api, db: Database, unresting: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crossings, "MOST", 1)
    monkeypatch.setattr(worths, "FILLING", 60)
    watch(api, db, 3)


def test_a_measure_that_fails_leaves_its_borders_to_be_found(
    api: Api, db: Database, unresting: None, pauses: dict[int, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is filled again later."""
    broken = text("select 1 / 0 as customer_id, 1 as worth")
    monkeypatch.setattr(worths, "FILLING", 60)
    mended, filled = worths_stored.worth_by, list[int]()
    failing = broken.columns(column("customer_id"), column("worth"))
    monkeypatch.setattr(worths_stored, "worth_by", lambda *_: failing)

    def look() -> None:
        filled.append(full(db))
        if len(filled) == 5:
            monkeypatch.setattr(worths_stored, "worth_by", mended)
            pauses.clear()

    live(api, db, 3, 10, look)
    assert (filled[4], filled[5]) == (0, 11)


def test_what_changes_while_a_process_pauses_is_not_missed_afterwards(
    api: Api, db: Database, unresting: None, pauses: dict[int, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that failed and was then lost with its transaction leaves the pause, and measures that are full."""
    monkeypatch.setattr(worths, "FILLING", 60)
    filled = list[int]()

    def look() -> None:
        filled.append(full(db))
        if len(filled) == 5:
            pauses.update(dict.fromkeys(ids(db), time.monotonic() + 300))
        if len(filled) == 10:
            pauses.clear()
        check_kept(db)

    live(api, db, 3, 20, look)
    assert (filled[4], filled[5], filled[-1]) == (11, 0, 11)


def test_measures_go_with_the_last_segment_that_asks(api: Api, db: Database) -> None:
    by: dict[str, Any] = {**ORDER, "sum": "revenue"}
    made = [api.segment(f"top {share}", {"rank": {"by": by, "top_percent": share}})["id"] for share in (10, 20)]
    refresh.tick(db)
    assert measures(db) == 1, "of both"
    for id in made:
        api.call("DELETE", f"/v1/segments/{id}", 204)
    refresh.tick(db)
    assert measures(db) == 0


def test_a_place_is_found_from_where_it_was(db: Database) -> None:
    """Whatever changes, and however many are worth the same."""
    chance = random.Random(8)
    shares = [Place(Decimal(share), is_best) for share in ("0.01", "0.2", "0.5", "1") for is_best in (True, False)]
    with db.session() as session:
        site_id = site(session)
        id = session.raw.execute(
            "insert into worth_measure (site_id, measure) values (%s, 'x') returning id", [site_id]
        ).fetchall()[0][0]
        held, standing = dict[int, int | None](), dict[Place, Standing]()
        for _ in range(60):
            changed = {chance.randrange(40): chance.choice([None, *range(9)]) for _ in range(chance.randrange(12))}
            gone = [who for who in changed if chance.random() < 0.3]
            was = sorted(worth for who in changed if (worth := held.get(who)) is not None)
            held = {who: worth for who, worth in (held | changed).items() if who not in gone}
            now = sorted(worth for who in changed if (worth := held.get(who)) is not None)
            session.raw.execute("delete from customer_worth")
            for pair in held.items():
                session.raw.execute("insert into customer_worth values (%s, %s, %s)", [id, *pair])
            order = sorted(worth for worth in held.values() if worth is not None)
            for place in shares:
                position = place.position(len(held), len(order))
                known = standing.pop(place, None)
                if not position:
                    continue
                if known is None:
                    standing[place] = found_anew(session, id, [position])[position]
                else:
                    standing[place] = moved(session, id, known.after(was, now), position)
                worth = order[position - 1]
                assert standing[place] == Standing(worth, bisect_left(order, worth), bisect_right(order, worth))
        session.rollback()


@pytest.mark.parametrize(
    ("share", "ranked", "worthy", "position"),
    [("0.2", 10, 10, 9), ("0.2", 11, 11, 9), ("0.01", 5, 5, 5), ("1", 5, 3, 1), ("0.5", 10, 2, 1), ("0.2", 4, 0, 0)],
)
def test_the_best_are_counted_from_the_end(share: str, ranked: int, worthy: int, position: int) -> None:
    assert Place(Decimal(share), is_from_best=True).position(ranked, worthy) == position


def full(db: Database) -> int:
    """How many measures are filled."""
    with db.connect() as conn:
        return int(conn.execute("select count(*) from worth_measure where filled_to is null").fetchall()[0][0])


def ids(db: Database) -> list[int]:
    with db.connect() as conn:
        return [id for (id,) in conn.execute("select id from worth_measure").fetchall()]


def measures(db: Database) -> int:
    with db.connect() as conn:
        return int(conn.execute("select count(*) from worth_measure").fetchall()[0][0])
