"""How PostgreSQL is led to evaluate rules."""

from typing import Any

from push_server import clock
from push_server.audiences.rules import SiteRules, evaluation
from push_server.db import Database, SiteSession
from push_server.sites.service import NewSite

ONCE_AND_SILENT = {
    "version": 1,
    "where": {
        "all": [
            {"event": "Order Completed", "count": {"eq": 1}},
            {"event": "Order Completed", "last": {"before": "60d"}},
        ]
    },
}


SPENT = {"version": 1, "where": {"event": "Order Completed", "sum": {"of": "revenue", "gte": 500}, "within": "365d"}}


def test_sets_are_not_looped_over_before_there_are_statistics(db: Database, site: NewSite) -> None:
    with db.session() as session:
        session.bind_site(session.raw.execute("select id from site").fetchall()[0][0])
        plan = _plan(session, ONCE_AND_SILENT)
        assert any("Join" in line for line in plan), plan
        assert not any("Nested Loop" in line for line in plan), plan
        # and what comes after in the same transaction is planned as ever
        assert session.raw.execute("show enable_nestloop").fetchall() == [("on",)]


def test_orders_of_everyone_are_grouped_without_a_hash_table(db: Database, site: NewSite) -> None:
    with db.session() as session:
        session.bind_site(session.raw.execute("select id from site").fetchall()[0][0])
        plan = _plan(session, SPENT)
        assert any("GroupAggregate" in line for line in plan), plan
        assert not any("HashAggregate" in line for line in plan), plan


def _plan(session: SiteSession, rule: dict[str, Any]) -> list[str]:
    rules = SiteRules(session)
    sql = rules.members(rules.parse(rule), clock.now()).compile(session.connection().engine)
    with evaluation(session):
        plan = session.connection().exec_driver_sql(f"explain {sql.string}", sql.params)
        return list(plan.scalars())
