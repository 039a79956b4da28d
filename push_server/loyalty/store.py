"""Loyalty facts in the database: lots and redemptions in, what each lot is worth over time out (`points` decides)."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from push_server.customers.changes import Kind, due, note
from push_server.customers.identity import Connection
from push_server.loyalty.points import NEVER, Lot, Redemption, settle, versions
from push_server.loyalty.program import UNSAID, Expiry, Program, program_of

_LOCK = 5 << 56  # apart from other advisory locks
_LOCKS_PER_SITE = 64
DRAWN, UNCOVERED = "drawn", "uncovered"


@dataclass(frozen=True, slots=True)
class LotFact:
    """A lot as it was told; `earned_at` None: nothing said of it, so `now`.

    `expires_at` UNSAID: nothing said of it, so as the site's programme has it; None: for ever.
    """

    lot_id: str
    customer: int
    points: int
    earned_at: datetime | None
    expires_at: Expiry


@dataclass(frozen=True, slots=True)
class RedemptionFact:
    """A redemption as it was told; `at` None: nothing said of it, so `now`."""

    redemption_id: str
    customer: int
    points: int
    at: datetime | None


@dataclass(slots=True)
class Taken:
    """What became of the facts: the ids that were new, stand with other content, or no lots cover."""

    new: set[str] = field(default_factory=set)
    other: set[str] = field(default_factory=set)
    uncovered: set[str] = field(default_factory=set)


def take_lots(conn: Connection, site_id: int, facts: Sequence[LotFact], now: datetime) -> Taken:
    """Store the lots and draw anew for their customers. Each lot_id counts once, the first time.

    The caller holds the site's lock shared and has resolved the customers.
    """
    lock_customers(conn, site_id, {fact.customer for fact in facts})
    is_open = {fact.lot_id for fact in facts if fact.expires_at is UNSAID}
    program = program_of(conn, site_id) if is_open else None
    facts = [_with_expiry(fact, program or Program(), now) for fact in facts]
    facts.sort(key=lambda fact: fact.lot_id)  # so that two transactions wait instead of deadlocking
    new = conn.execute(
        "insert into points_lot (site_id, lot_id, customer_id, points, earned_at, expires_at) select %s, * from"
        " unnest(%s::text[], %s::int[], %s::bigint[], %s::timestamptz[], %s::timestamptz[])"
        " on conflict (site_id, lot_id) do nothing returning lot_id",
        [
            site_id,
            [fact.lot_id for fact in facts],
            [fact.customer for fact in facts],
            [fact.points for fact in facts],
            [fact.earned_at or now for fact in facts],
            [fact.expires_at for fact in facts],
        ],
    )
    taken = Taken({row[0] for row in new})
    rows = conn.execute(
        "select lot_id, customer_id, points, earned_at, expires_at from points_lot"
        " where site_id = %s and lot_id = any(%s)",
        [site_id, [fact.lot_id for fact in facts]],
    )
    stored = {row[0]: LotFact(*row) for row in rows}
    for fact in facts:
        was = stored[fact.lot_id]
        # A programme may have changed since, and then what it says now contradicts nothing.
        same_end = fact.expires_at == was.expires_at or (program is not None and fact.lot_id in is_open)
        same = same_end and (was.customer, was.points) == (fact.customer, fact.points)
        if not same or fact.earned_at not in (None, was.earned_at):
            taken.other.add(fact.lot_id)
    _rebuild(conn, site_id, {fact.customer for fact in facts if fact.lot_id in taken.new}, None)
    due(conn, site_id, [(fact.customer, fact.earned_at) for fact in facts if fact.earned_at is not None])
    return taken


def _with_expiry(fact: LotFact, program: Program, now: datetime) -> LotFact:
    if fact.expires_at is not UNSAID:
        return fact
    return replace(fact, expires_at=program.expiry(fact.earned_at or now))


def take_redemptions(conn: Connection, site_id: int, facts: Sequence[RedemptionFact], now: datetime) -> Taken:
    """Store the redemptions and draw anew for their customers. Each redemption_id counts once, the first time.

    Those that no lots cover stay stored as such, drawing nothing, and are tried again when lots come: a caller who
    refuses them instead rolls back. Locks as for `take_lots`.
    """
    lock_customers(conn, site_id, {fact.customer for fact in facts})
    facts = sorted(facts, key=lambda fact: fact.redemption_id)
    new = conn.execute(
        "insert into points_redemption (site_id, redemption_id, customer_id, points, at, state)"
        " select %s, u.*, %s from unnest(%s::text[], %s::int[], %s::bigint[], %s::timestamptz[]) as u"
        " on conflict (site_id, redemption_id) do nothing returning redemption_id, id",
        [
            site_id,
            UNCOVERED,
            [fact.redemption_id for fact in facts],
            [fact.customer for fact in facts],
            [fact.points for fact in facts],
            [fact.at or now for fact in facts],
        ],
    )
    refs = dict(new.fetchall())
    taken = Taken(set(refs))
    _rebuild(conn, site_id, {fact.customer for fact in facts if fact.redemption_id in refs}, set(refs.values()))
    due(conn, site_id, [(fact.customer, fact.at) for fact in facts if fact.at is not None])
    rows = conn.execute(
        "select redemption_id, customer_id, points, at, state from points_redemption"
        " where site_id = %s and redemption_id = any(%s)",
        [site_id, [fact.redemption_id for fact in facts]],
    )
    stored = {row[0]: row[1:] for row in rows}
    for fact in facts:
        customer, points, at, state = stored[fact.redemption_id]
        if (customer, points) != (fact.customer, fact.points) or fact.at not in (None, at):
            taken.other.add(fact.redemption_id)
        elif state == UNCOVERED:
            taken.uncovered.add(fact.redemption_id)
    return taken


def lock_customers(conn: Connection, site_id: int, customers: set[int]) -> None:
    """Two redemptions of one customer must not draw the same points: his are taken one transaction after another.

    Whoever takes both lots and redemptions locks the customers of all of them first, so that nobody deadlocks.
    """
    conn.execute(
        "select pg_advisory_xact_lock(%s + bucket) from"
        " (select distinct (id & %s)::bigint as bucket from unnest(%s::int[]) as id order by 1) as b",
        [_LOCK | site_id * _LOCKS_PER_SITE, _LOCKS_PER_SITE - 1, list(customers)],
    )


def draw_together(conn: Connection, site_id: int, customer: int) -> None:
    """Draw anew for a customer who has taken over another one's lots and redemptions, from all of them as one account.

    Where nothing has been spent there is nothing to decide. The site's lock, held exclusively, keeps all others out.
    """
    spent = conn.execute(
        "select 1 from points_redemption where site_id = %s and customer_id = %s limit 1", [site_id, customer]
    )
    if spent.fetchone():
        _rebuild(conn, site_id, {customer}, None)


def _rebuild(conn: Connection, site_id: int, customers: set[int], new: set[int] | None) -> None:
    """Draw anew for these customers, and write what their lots are worth over time.

    Of the uncovered redemptions those in `new` are tried: without further lots the others stay so. None: all are.
    """
    if not customers:
        return
    lots = _read_lots(conn, site_id, customers)
    redemptions = _read_redemptions(conn, site_id, customers)
    rows: list[list[Any]] = []
    settled: list[int] = []
    for customer in sorted(customers):
        mine = lots[customer]
        waiting = [each for each in redemptions[customer, UNCOVERED] if new is None or each.ref in new]
        drawn, newly = settle(mine, redemptions[customer, DRAWN], waiting)
        settled += [each.ref for each in newly]
        for version in versions(mine, drawn):
            until, expires_at = (
                "infinity" if each is NEVER else each.isoformat()
                for each in (version.until, version.lot.expires_at or NEVER)
            )
            rows.append([version.lot.ref, site_id, customer, version.since, until, expires_at, version.points])
    ids = sorted(customers)
    conn.execute("delete from points_value where site_id = %s and customer_id = any(%s)", [site_id, ids])
    if settled:
        conn.execute("update points_redemption set state = %s where id = any(%s)", [DRAWN, settled])
    with (
        conn.cursor() as cursor,
        cursor.copy(
            "copy points_value (lot_ref, site_id, customer_id, since, until, expires_at, points) from stdin"
        ) as copy,
    ):
        for row in rows:
            copy.write_row(row)
    note(conn, site_id, [(customer, Kind.LOYALTY) for customer in ids])


def _read_lots(conn: Connection, site_id: int, customers: set[int]) -> dict[int, list[Lot]]:
    rows = conn.execute(
        "select customer_id, id, lot_id, points, earned_at, expires_at from points_lot"
        " where site_id = %s and customer_id = any(%s)",
        [site_id, list(customers)],
    )
    found: dict[int, list[Lot]] = defaultdict(list)
    for customer, *lot in rows:
        found[customer].append(Lot(*lot))
    return found


def _read_redemptions(conn: Connection, site_id: int, customers: set[int]) -> dict[tuple[int, str], list[Redemption]]:
    rows = conn.execute(
        "select customer_id, state, id, points, at from points_redemption where site_id = %s and customer_id = any(%s)",
        [site_id, list(customers)],
    )
    found: dict[tuple[int, str], list[Redemption]] = defaultdict(list)
    for customer, state, *redemption in rows:
        found[customer, state].append(Redemption(*redemption))
    return found
