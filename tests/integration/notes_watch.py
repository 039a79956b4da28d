"""Which tables rules read, from the database's own catalogue, and who writes them without noting for whom."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from push_server.audiences.histories import parameters
from push_server.audiences.histories_sql import parts, statement
from push_server.audiences.rules import SiteRules
from push_server.db import Database, SiteSession
from segments.history import micros
from segments.needs import needs

Reads = dict[str, set[str]]
"""Tables with the columns of each."""

# A row counts as long as rules can see it: of deliveries those that were accepted.
_UNSEEN = {"delivery": "seen ->> 'state' <> 'accepted'"}
_OWNERS = {"customer": "id"}


def reads_of(session: SiteSession, rule: dict[str, Any]) -> Reads:
    """What the statements read by which the rule is evaluated whole, and by which customers' facts are loaded for it.

    Both become views, whose dependencies PostgreSQL keeps, column by column.
    """
    rules = SiteRules(session)
    parsed = rules.parse(rule)
    whole = rules.members(parsed, _NOW).compile(session.get_bind(), compile_kwargs={"render_postcompile": True})
    conn = session.raw
    found = _depends(conn, str(whole), whole.construct_params())
    asked = needs([parsed.lower()], rules.node, for_truth=True)
    given = parameters(session.site_id, asked, micros(_NOW)) | {"customers": "{1}"}
    for table, columns in _depends(conn, statement(parts(asked)), given).items():
        found.setdefault(table, set()).update(columns)
    return found


_NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def _depends(conn: psycopg.Connection[Any], query: str, given: dict[str, Any]) -> Reads:
    text = psycopg.ClientCursor(conn).mogrify(query, given)
    conn.execute(f"create temp view asked as select exists ({text}) as one")
    rows = conn.execute(
        "select c.relname, a.attname from pg_depend d join pg_rewrite r on r.oid = d.objid and d.classid ="
        " 'pg_rewrite'::regclass join pg_class c on d.refclassid = 'pg_class'::regclass and c.oid = d.refobjid"
        " left join pg_attribute a on a.attrelid = c.oid and a.attnum = d.refobjsubid and a.attnum > 0"
        " where r.ev_class = 'asked'::regclass and c.relname <> 'asked'"
    ).fetchall()
    conn.execute("drop view asked")
    found: Reads = {}
    for table, column in rows:
        found.setdefault(table, set()).update({column} - {None})
    return found


@dataclass(frozen=True, slots=True)
class Seen:
    """What was written since the last look, and what of it was not noted: tables with the customers' internal ids."""

    tables: set[str]
    changed: set[str]
    unnoted: list[tuple[str, int | None]]


class Watch:
    """Triggers on every table that rules read, and on the notes; they know which transaction wrote what of whom."""

    def __init__(self, db: Database, reads: Reads) -> None:
        self._db = db
        with db.connect(autocommit=True) as conn:
            conn.execute(_LOG)
            conn.execute(_NOTED)
            for table, columns in reads.items():
                owner = _OWNERS.get(table) or ("customer_id" if "customer_id" in self._columns(conn, table) else "")
                conn.execute(_FUNCTION.format(table=table, unseen=_UNSEEN.get(table, "false")))
                conn.execute(
                    f"create trigger watched after insert or update or delete on {table} for each row"
                    f" execute function watch_{table}('{owner}', '{{{','.join(sorted(columns))}}}')"
                )

    @staticmethod
    def _columns(conn: psycopg.Connection[Any], table: str) -> set[str]:
        rows = conn.execute("select attname from pg_attribute where attrelid = %s::regclass and attnum > 0", [table])
        return {name for (name,) in rows}

    def look(self) -> Seen:
        """What was written since the last time."""
        with self._db.connect(autocommit=True) as conn:
            rows = conn.execute("delete from watched returning tx, what, op, customer").fetchall()
        noted = {(tx, customer) for tx, what, _op, customer in rows if what == "change_note"}
        in_tx = {tx for tx, _customer in noted}
        facts = [row for row in rows if row[1] != "change_note"]
        unnoted = [
            (what, customer)
            for tx, what, _op, customer in facts
            if (tx not in in_tx if customer is None else (tx, customer) not in noted)
        ]
        return Seen({row[1] for row in facts}, {row[1] for row in facts if row[2] != "INSERT"}, unnoted)


_LOG = "create unlogged table watched (tx bigint, what text, op text, customer int)"
_NOTED = """
create function watch_notes() returns trigger language plpgsql as $$ begin
    insert into watched select txid_current(), 'change_note', tg_op, unnest(new.customers);
    return null;
end $$;
create trigger watched after insert on change_note for each row execute function watch_notes();
"""
_FUNCTION = """
create function watch_{table}() returns trigger language plpgsql as $$
declare
    seen jsonb; was jsonb; stands jsonb; owner text := tg_argv[0]; columns text[] := tg_argv[1];
begin
    if tg_op <> 'INSERT' then
        seen := to_jsonb(old);
        was := case when {unseen} then null else seen end;
    end if;
    if tg_op <> 'DELETE' then
        seen := to_jsonb(new);
        stands := case when {unseen} then null else seen end;
    end if;
    if (select jsonb_object_agg(c, was -> c) from unnest(columns) c) is distinct from
       (select jsonb_object_agg(c, stands -> c) from unnest(columns) c) then
        insert into watched select distinct txid_current(), '{table}', tg_op, (row ->> owner)::int
        from unnest(array[was, stands]) as row where row is not null;
    end if;
    return null;
end $$
"""
