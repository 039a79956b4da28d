"""How PostgreSQL is led to evaluate rules."""

from push_server import clock
from push_server.audiences.rules import SiteRules, evaluation
from push_server.db import Database
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


def test_sets_are_not_looped_over_before_there_are_statistics(db: Database, site: NewSite) -> None:
    with db.session() as session:
        session.bind_site(session.raw.execute("select id from site").fetchall()[0][0])
        rules = SiteRules(session)
        found = rules.members(rules.parse(ONCE_AND_SILENT), clock.now())
        sql = found.compile(session.connection().engine)
        statement, values = f"explain {sql.string}", sql.params
        with evaluation(session):
            plan = session.connection().exec_driver_sql(statement, values).scalars().all()
        assert any("Join" in line for line in plan), plan
        assert not any("Nested Loop" in line for line in plan), plan
        # and what comes after in the same transaction is planned as ever
        assert session.raw.execute("show enable_nestloop").fetchall() == [("on",)]
