"""Who did it: from a shop's userId and a browser's anonymousId to one customer, and the merge of the two.

- An event with a userId belongs to that known customer; one with an anonymousId alone to whomever the browser's id
  stands for now, and a browser never seen becomes an anonymous customer.
- Linking the two (`identify` with both ids, `alias`): an anonymous customer's whole past becomes the known one's, and
  the anonymous one vanishes; if the known one is new, the anonymous one simply becomes him. A browser id that already
  stands for another known customer (a shared computer) is not merged: it stands for the new one from now on. Two
  known customers are never merged.

Locks: whoever writes rows for a site's customers holds the site's lock shared until he commits, so that nobody writes
for a customer whom a merge is taking away; a merge (or an erasure) holds it exclusively. Do the linking before
anything else in a transaction, since two holders of the shared lock who both want the exclusive one deadlock.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import psycopg

from push_server.customers.changes import Kind, note
from push_server.customers.models import SCRAMBLED_ID

Connection = psycopg.Connection[Any]

_SITE_LOCK = 1 << 56  # apart from other advisory locks
COUNTED = ["segment_member", "customer_worth"]
"""Tables of which it is also kept how many rows there are."""
FOLLOWING = [*COUNTED, "calendar", "customer_turn"]
"""Tables of what follows from customers' facts: a note of a change takes their rows away when he is gone."""

_after_merges: list[Callable[[Connection, int, int], None]] = []


def when_merged(do: Callable[[Connection, int, int], None]) -> None:
    """From now on call this after each merge, in its transaction: with connection, site, and the customer who stays.

    For parts that derive something from a customer's rows; the site's lock is held exclusively.
    """
    _after_merges.append(do)


class Raced(Exception):
    """Another transaction wrote the same customer first: roll back and begin anew."""


@dataclass(slots=True, eq=False)
class Person:
    """A customer while ids are resolved; `id` is 0 until he is stored, `into` says who took him over."""

    id: int
    external_id: str | None = None
    anonymous_id: str | None = None
    time_zone: str | None = None
    into: "Person | None" = None

    def final(self) -> "Person":
        """Who he is in the end."""
        person = self
        while person.into is not None:
            person = person.into
        return person


def lock_site(conn: Connection, site_id: int, exclusive: bool = False) -> None:
    """Hold the site's customer lock until the transaction ends. Several sites: in ascending order."""
    conn.execute(_lock(site_id, exclusive))


def begin_locked(sites: list[tuple[int, bool]], limits: str) -> str:
    """SQL that in one round trip begins a transaction, sets `limits` and locks these sites, exclusively or not."""
    return ";".join(["begin", limits, *(_lock(site_id, exclusive) for site_id, exclusive in sorted(sites))])


def _lock(site_id: int, exclusive: bool) -> str:
    return f"select pg_advisory_xact_lock{'' if exclusive else '_shared'}({_SITE_LOCK | site_id:d})"


def resolve_customer(conn: Connection, site_id: int, external_id: str | None, anonymous_id: str | None) -> int:
    """The customer's id; creates him when new. With both ids the external one decides and nothing is linked."""
    lock_site(conn, site_id)
    return _settle(conn, site_id, external_id, anonymous_id, link=False)


def merge(conn: Connection, site_id: int, anonymous_id: str, external_id: str) -> int:
    """Link a browser's id to a known customer, as described above; returns the known customer's id."""
    lock_site(conn, site_id, exclusive=True)
    return _settle(conn, site_id, external_id, anonymous_id, link=True)


def _settle(conn: Connection, site_id: int, external_id: str | None, anonymous_id: str | None, *, link: bool) -> int:
    if external_id is None and anonymous_id is None:
        raise ValueError("a customer needs an external or an anonymous id")
    while True:
        try:
            with conn.transaction():
                people = People(conn, site_id)
                people.load({external_id} if external_id else set(), {anonymous_id} if anonymous_id else set())
                if link and external_id and anonymous_id:
                    person = people.link(anonymous_id, external_id)
                else:
                    person = people.find(external_id, anonymous_id)
                people.store()
                note(conn, site_id, people.changes)
                return person.final().id
        except (Raced, psycopg.errors.UniqueViolation):
            continue


class People:
    """Resolves many ids of one site at once: `load`, then `find` and `link` in the events' order, then `store`.

    Between load and store nothing touches the database, so the order of calls alone decides who is who.
    `changes` is what the caller notes when he has stored.
    """

    def __init__(self, conn: Connection, site_id: int) -> None:
        self.conn, self.site_id = conn, site_id
        self.known: dict[str, Person] = {}
        self.browsers: dict[str, Person] = {}
        self.merges: list[tuple[Person, Person]] = []
        self.changes: list[tuple[int, int]] = []
        self._new: list[Person] = []
        self._named: list[Person] = []
        self._stored_browsers: dict[str, Person] = {}

    def load(self, external_ids: set[str], anonymous_ids: set[str]) -> None:
        """Read who is stored under these ids; nobody else may be looked for later."""
        by_id: dict[int, Person] = {}
        if external_ids:
            rows = self.conn.execute(
                "select id, external_id, anonymous_id, time_zone from customer"
                " where site_id = %s and external_id in (select jsonb_array_elements_text(%s::jsonb))",
                [self.site_id, _array(external_ids)],
            )
            for row in rows.fetchall():
                self.known[row[1]] = by_id[row[0]] = Person(*row)
        if anonymous_ids:
            rows = self.conn.execute(
                "select a.anonymous_id, c.id, c.external_id, c.anonymous_id, c.time_zone from customer_alias a"
                " join customer c on c.id = a.customer_id"
                " where a.site_id = %s and a.anonymous_id in (select jsonb_array_elements_text(%s::jsonb))",
                [self.site_id, _array(anonymous_ids)],
            )
            for browser, *row in rows.fetchall():
                person = by_id.get(row[0]) or by_id.setdefault(row[0], Person(*row))
                self.browsers[browser] = self._stored_browsers[browser] = person

    def find(self, external_id: str | None, anonymous_id: str | None) -> Person:
        """The customer of an event; a new one when nobody has the id yet. Take `final()` of him after `store`."""
        if external_id is not None:
            return self.known.get(external_id) or self._make(external_id, None)
        assert anonymous_id is not None
        return self.browsers.get(anonymous_id) or self._make(None, anonymous_id)

    def link(self, anonymous_id: str, external_id: str) -> Person:
        """From here on the browser's id stands for the known customer, who takes over an anonymous one's past."""
        browser, known = self.browsers.get(anonymous_id), self.known.get(external_id)
        if browser is None or browser.external_id is not None:
            known = known or self._make(external_id, None)
        elif known is None or not known.id:
            browser.external_id = external_id
            if browser.id:
                self._named.append(browser)
            if known is not None:
                known.into = browser
            known = browser
        else:
            browser.into = known
            if browser.id:
                self.merges.append((browser, known))
        self.known[external_id] = self.browsers[anonymous_id] = known
        return known

    def store(self) -> None:
        """Write what find and link decided. Raced when another transaction was faster: roll back, start again."""
        for gone, kept in self.merges:
            take_over(self.conn, self.site_id, gone.id, kept.id)
        new = [person for person in self._new if person.into is None]
        if new:
            self._create(new)
        for person in self._named:
            done = self.conn.execute(
                "update customer set external_id = %s, updated_at = now() where id = %s and external_id is null",
                [person.external_id, person.id],
            )
            if done.rowcount != 1:
                raise Raced
        self._store_browsers()
        merged = [person for pair in self.merges for person in pair]
        self.changes += [(person.id, Kind.EVERYTHING) for person in (*new, *self._named, *merged)]

    def _make(self, external_id: str | None, anonymous_id: str | None) -> Person:
        person = Person(0, external_id, anonymous_id)
        self._new.append(person)
        if external_id is not None:
            self.known[external_id] = person
        if anonymous_id is not None:
            self.browsers[anonymous_id] = person
        return person

    def _create(self, people: list[Person]) -> None:
        # Sorted, so that two transactions that create the same customers wait for each other instead of deadlocking.
        people.sort(key=lambda person: (person.external_id or "", person.anonymous_id or ""))
        ids = self.conn.execute(f"select {SCRAMBLED_ID} from generate_series(1, %s)", [len(people)]).fetchall()  # noqa: S608
        for person, (drawn,) in zip(people, ids, strict=True):
            person.id = drawn
        done = self.conn.execute(
            "insert into customer (id, site_id, external_id, anonymous_id, attributes)"
            " select id, %s, external, anonymous, '{}' from unnest(%s::int[], %s::text[], %s::text[])"
            " as u(id, external, anonymous) on conflict (site_id, external_id) do nothing",
            [
                self.site_id,
                [person.id for person in people],
                [person.external_id for person in people],
                [person.anonymous_id for person in people],
            ],
        )
        if done.rowcount != len(people):
            raise Raced

    def _store_browsers(self) -> None:
        new, moved = [], []
        for browser, person in sorted(self.browsers.items()):
            stored, final = self._stored_browsers.get(browser), person.final()
            if stored is None:
                new.append((browser, final.id))
            elif stored.final() is not final:
                moved.append((browser, final.id))
        if new:
            done = self.conn.execute(
                "insert into customer_alias (site_id, anonymous_id, customer_id)"
                " select %s, * from unnest(%s::text[], %s::int[]) on conflict do nothing",
                [self.site_id, [row[0] for row in new], [row[1] for row in new]],
            )
            if done.rowcount != len(new):
                raise Raced
        for browser, customer_id in moved:
            self.conn.execute(
                "update customer_alias set customer_id = %s where site_id = %s and anonymous_id = %s",
                [customer_id, self.site_id, browser],
            )
        if linked := new + moved:
            self.conn.execute(
                "update customer c set anonymous_id = u.browser from unnest(%s::text[], %s::int[]) as u(browser, id)"
                " where c.id = u.id and c.anonymous_id is null",
                [[row[0] for row in linked], [row[1] for row in linked]],
            )


def _array(texts: set[str]) -> str:
    """As JSON, which is written far faster than PostgreSQL's own arrays of text."""
    return msgspec.json.encode(list(texts)).decode()


def take_over(conn: Connection, site_id: int, gone: int, kept: int) -> None:
    """Move every row of customer `gone` to `kept`, fill gaps in his attributes, delete `gone`.

    Left behind is what change notes bring up to date (`FOLLOWING`): the caller writes them for both. The tables are
    read from the database's own catalogue: deleting the customer cascades, so one left out would be lost. The caller
    holds the site's lock exclusively.
    """
    ids = {"gone": gone, "kept": kept, "site": site_id}
    for table in tables_of_customers(conn):
        if table.name in FOLLOWING:
            continue
        where = table.where("gone")
        for columns in table.unique:
            same = "".join(f" and k.{column} is not distinct from t.{column}" for column in columns)
            twin = f"exists (select 1 from {table.name} k where k.customer_id = %(kept)s{same})"  # noqa: S608
            conn.execute(f"delete from {table.name} t where {where} and {twin}", ids)  # noqa: S608
        conn.execute(f"update {table.name} t set customer_id = %(kept)s where {where}", ids)  # noqa: S608
    conn.execute(
        "update customer k set attributes = g.attributes || k.attributes, time_zone = coalesce(k.time_zone,"
        " g.time_zone), birth_md = coalesce(k.birth_md, g.birth_md), created_at = least(k.created_at, g.created_at),"
        " anonymous_id = coalesce(k.anonymous_id, g.anonymous_id), updated_at = now()"
        " from customer g where k.id = %(kept)s and g.id = %(gone)s",
        ids,
    )
    conn.execute("delete from customer where id = %(gone)s", ids)
    for do in _after_merges:
        do(conn, site_id, kept)


class CustomerTable(NamedTuple):
    """A table with a customer_id; `unique` are the other columns of each unique key that it is in."""

    name: str
    has_site: bool
    unique: list[list[str]]

    def where(self, customer: str) -> str:
        """SQL for a customer's rows of table t; parameters are `site` and the one named here."""
        his = f"t.customer_id = %({customer})s"
        if self.has_site:
            return f"{his} and t.site_id = %(site)s"
        if self.name == "event":  # whose indexes begin with the kind
            his += " and t.kind_id = any(array(select id from term where site_id = %(site)s and what = 'event'))"
        return his


def tables_of_customers(conn: Connection) -> list[CustomerTable]:
    """Every table with a customer_id, from the database's own catalogue; parts of partitioned ones are not named."""
    rows = conn.execute(
        """
        select c.relname,
               exists (select 1 from pg_attribute s where s.attrelid = c.oid and s.attname = 'site_id'),
               coalesce((
                   select jsonb_agg(array(select k.attname::text from pg_attribute k where k.attrelid = c.oid
                                          and k.attnum = any(i.indkey::int2[]) and k.attname <> 'customer_id'))
                   from pg_index i where i.indrelid = c.oid and i.indisunique and a.attnum = any(i.indkey::int2[])
               ), '[]')
        from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'customer_id'
        where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
        order by c.relname
        """
    )
    return [CustomerTable(*row) for row in rows]
