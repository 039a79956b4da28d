"""Events lie in tables by year; nobody who reads or writes them notices."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from alembic import command
from alembic.config import Config

import push_server.migrations
from push_server import clock
from push_server.audiences.rules import SiteRules, evaluation
from push_server.db import Database
from push_server.events.partitions import make_years, tick, years
from push_server.sites.service import NewSite

INSERT = "insert into event (kind_id, customer_id, ts, seq) select %s, g, %s, g from generate_series(1, %s) g"


@pytest.fixture
def connection(db: Database) -> Iterator[psycopg.Connection]:
    with db.connect(autocommit=True) as conn:
        yield conn


def lies_in(conn: psycopg.Connection) -> list[tuple[str, int]]:
    return conn.execute("select tableoid::regclass::text, count(*) from event group by 1 order by 1").fetchall()


def test_the_coming_year_gets_its_table_with_what_lies_there_already(
    db: Database, connection: psycopg.Connection
) -> None:
    next_year = max(years(connection)) + 1
    connection.execute(INSERT, [1, datetime(next_year, 1, 1, tzinfo=UTC), 3])
    connection.execute(INSERT, [1, datetime(next_year + 1, 1, 1, tzinfo=UTC), 2])
    assert lies_in(connection) == [("event_default", 5)]
    clock.set_source(lambda: datetime(next_year - 1, 9, 1, tzinfo=UTC))
    assert make_years(connection) == []
    clock.set_source(lambda: datetime(next_year - 1, 11, 1, tzinfo=UTC))
    tick(db)
    assert next_year in years(connection)
    assert lies_in(connection) == [(f"event_{next_year}", 3), ("event_default", 2)]
    assert make_years(connection) == []


def test_the_planner_knows_event_as_a_whole_after_a_bulk_load(db: Database, connection: psycopg.Connection) -> None:
    connection.execute(INSERT, [1, datetime(1999, 1, 1, tzinfo=UTC), 5000])
    connection.execute("analyze event_older")
    whole = "select n_distinct from pg_stats where tablename = 'event' and inherited and attname = 'customer_id'"
    assert connection.execute(whole).fetchall() == []
    tick(db)
    assert connection.execute(whole).fetchall() == [(-1.0,)]


def test_a_window_leaves_the_other_years_alone(db: Database, site: NewSite) -> None:
    """As rules are run: with bound parameters."""
    rule = {"version": 1, "where": {"event": "Product Viewed", "count": {"gte": 2}, "within": "20d"}}
    with db.session() as session:
        session.bind_site(session.raw.execute("select id from site").fetchall()[0][0])
        now = datetime(max(years(session.raw)), 6, 1, tzinfo=UTC)
        rules = SiteRules(session)
        sql = rules.members(rules.parse(rule), now).compile(session.connection().engine)
        with evaluation(session):
            plan = "\n".join(session.connection().exec_driver_sql(f"explain {sql.string}", sql.params).scalars())
    assert f"event_{now.year}" in plan
    assert plan.count(" on event_") == 1, plan


def test_a_table_with_rows_is_taken_over_as_it_is(db: Database, connection: psycopg.Connection) -> None:
    config = Config()
    config.set_main_option("script_location", push_server.migrations.__path__[0])
    with db.engine.connect() as alembic:
        config.attributes["connection"] = alembic
        command.downgrade(config, "0007")
        alembic.commit()
        term = connection.execute(
            "insert into site (public_id, name, origins, time_zone, currency, contact, public_key, identity_secret,"
            " identity_verification, secret_orders_only, settings) values (gen_random_uuid(), 'S', '{}', 'UTC', 'EUR',"
            " 'mailto:a@b.c', 'pk', '', false, false, '{}') returning id"
        ).fetchall()[0][0]
        kind = connection.execute(
            "insert into term (site_id, what, text) values (%s, 'event', 'Seen') returning id", [term]
        ).fetchall()[0][0]
        now = datetime.now(UTC)
        for ts, many in ((now, 7), (now - timedelta(days=4000), 5), (now.replace(year=now.year + 40), 3)):
            connection.execute(INSERT, [kind, ts, many])
        table = connection.execute("select relfilenode from pg_class where relname = 'event'").fetchall()
        command.upgrade(config, "head")
        alembic.commit()
    assert lies_in(connection) == [("event_default", 3), ("event_older", 12)]
    assert connection.execute("select relfilenode from pg_class where relname = 'event_older'").fetchall() == table
    indexes = connection.execute("select count(*) from pg_indexes where tablename = 'event_older'").fetchall()
    assert indexes == [(2,)]  # its own serve the whole
