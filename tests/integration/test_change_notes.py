"""No lost change: whatever writes a fact notes for whom, in the same transaction, and the rule that asks for it turns.

What rules read is asked of the database, and so is what each path writes: a table that a rule reads one day and that no
path here is seen to write, a call of the API that is not among the paths, or a write without its note is a failure.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from push_server import clock
from push_server.app import create_app
from push_server.audiences import refresh, step
from push_server.audiences.models import Segment
from push_server.audiences.rules import SiteRules
from push_server.db import Database, SiteSession
from push_server.events.followers import _followers
from push_server.events.orders import ORDER_EVENTS
from segments.core import And, Member, Node, Not, Or, Outcome, leaves
from segments.core import Message as MessageNode
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.change_paths import BESIDE, PATHS, TRACK, Path
from tests.integration.change_world import World
from tests.integration.notes_watch import Reads, Watch, reads_of
from tests.integration.sending import Shop, push_service

# Written before a fact can be told by them, and never changed in what rules read of them.
NAMES = {
    "term": "the dictionary: names, categories and products get their number with the first fact that has them",
    "campaign": "stands before its first message",
    "dispatch": "stands before its first message",
}


@pytest.fixture
def push(db: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedPush]:
    yield from push_service(monkeypatch)


@pytest.fixture
def shop(db: Database, push: ScriptedPush) -> Shop:
    now = datetime.now(UTC)
    clock.set_source(lambda: now)  # time stands still, so that nothing but a note brings anybody into a segment
    return Shop.create(db, push)


def read(shop: Shop) -> list[Reads]:
    """What the rule of each path reads."""
    with shop.db.session(site_id=shop.site_id) as session:
        return [reads_of(session, {"version": 1, "where": path.rule}) for path in PATHS]


def test_every_path_notes_what_it_writes_and_turns_its_rule(
    shop: Shop, push: ScriptedPush, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: list[int | None] = []

    def evaluate(session: SiteSession, segment: Segment, at: datetime, seconds: float) -> None:
        whole.append(segment.id)
        evaluated(session, segment, at, seconds)

    evaluated = step.evaluate
    monkeypatch.setattr(step, "evaluate", evaluate)
    reads = read(shop)
    tables: Reads = {}
    for each in reads:
        for table, columns in each.items():
            tables.setdefault(table, set()).update(columns)
    watch, seen, wrong = Watch(shop.db, tables), set[str](), []
    for number, (path, asked) in enumerate(zip(PATHS, reads, strict=True)):
        world = World(shop, number)
        path.before(world)
        segment = segment_of(shop, path)
        work_off(shop)
        before = members(shop, segment)
        watch.look()
        known = customer(shop, world, path)
        path.write(world)
        found = watch.look()
        whole.clear()
        work_off(shop)
        him = known or customer(shop, world, path)
        turns = (him in before, him in members(shop, segment))
        if turns != (path.ends, not path.ends):
            wrong.append(f"{path.name}: {path.rule} before and after: {turns}")
        if (segment in whole) != path.whole:
            wrong.append(f"{path.name}: {'not ' * path.whole}evaluated for everyone")
        if found.unnoted:
            wrong.append(f"{path.name}: written without a note: {found.unnoted}")
        if found.changed & NAMES.keys():
            wrong.append(f"{path.name}: changes {found.changed & NAMES.keys()}")
        seen |= found.tables & asked.keys()
    assert not wrong, "\n".join(["", *wrong])
    assert push.refused == []
    assert seen - NAMES.keys() == tables.keys() - NAMES.keys()


def work_off(shop: Shop) -> None:
    """As the scheduler does: one step evaluates only so many for everyone as a second allows."""
    due = True
    while due:
        refresh.tick(shop.db)
        with shop.db.session() as session:
            due = bool(session.raw.execute("select 1 from segment where is_due limit 1").fetchall())


def segment_of(shop: Shop, path: Path) -> int:
    made = shop.api.post("/v1/segments", json={"name": path.name, "rule": {"version": 1, "where": path.rule}})
    assert made.status_code == 201, made.text
    with shop.db.session(site_id=shop.site_id) as session:
        rows = session.raw.execute("select id from segment where public_id = %s", [made.json()["id"]]).fetchall()
        return int(rows[0][0])


def customer(shop: Shop, world: World, path: Path) -> int | None:
    """His number, if he is known."""
    with shop.db.session() as session:
        rows = session.raw.execute(
            "select id from customer where case when %s then anonymous_id = %s else external_id = %s end",
            [path.anonymous, world.b, world.u],
        ).fetchall()
        return int(rows[0][0]) if rows else None


def members(shop: Shop, segment: int) -> set[int | None]:
    """As the table has them."""
    with shop.db.session() as session:
        rows = session.raw.execute("select customer_id from segment_member where segment_id = %s", [segment])
        return {id for (id,) in rows}


def test_every_call_that_writes_is_among_the_paths() -> None:
    calls = {
        f"{method.upper()} {path}"
        for path, methods in create_app().openapi()["paths"].items()
        for method in methods
        if method != "get"
    }
    tried = {call for call in calls if any(path.name.startswith(call) for path in PATHS)}
    assert calls - tried == BESIDE.keys()


def test_every_event_with_a_meaning_of_its_own_is_among_the_paths() -> None:
    named = {*ORDER_EVENTS, *_followers}
    assert named - {path.name.removeprefix(f"{TRACK} ").partition(",")[0] for path in PATHS} == set()


def test_the_rules_of_the_paths_are_of_every_core_node(shop: Shop) -> None:
    with shop.db.session(site_id=shop.site_id) as session:
        rules = SiteRules(session)
        found = [each for path in PATHS for each in leaves(rules.parse({"version": 1, "where": path.rule}).lower())]
    # these join others; a segment's members are found by the rule that is named
    beside = {And, Or, Not, Member}
    assert {type(each) for each in found} == set(Node.__args__) - beside  # type: ignore[attr-defined]
    assert {each.outcome for each in found if isinstance(each, MessageNode)} == set(Outcome)
