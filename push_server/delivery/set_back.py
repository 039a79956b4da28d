"""After the clock was set back: what was to happen within seconds would wait until the old time has come again."""

import logging
from datetime import datetime

from push_server import clock
from push_server.db import Database
from push_server.delivery.claim import LEASE
from push_server.delivery.service import PLAN_AGAIN

log = logging.getLogger(__name__)

_last: datetime | None = None

# Whoever still lives keeps his deliveries: he renews their lease before it is over.
_DELIVERIES = """
update delivery d
set due_at = case when d.state = 'sending' then %(leased)s
                  else greatest(%(now)s, least(d.due_at, coalesce(d.not_before, %(now)s))) end,
    updated_at = %(now)s
from dispatch p
where p.id = d.dispatch_id and p.state <> 'done' and d.state in ('queued', 'sending', 'retry')
and d.updated_at > %(now)s and d.due_at > %(now)s
"""
_PLANNERS = "update dispatch set due_at = %(now)s where state = 'planning' and due_at > %(planned)s"


def catch_up(database: Database) -> None:
    """Make due what was written at instants that are still to come; they are of before the clock was set back.

    Looks at the first call of a process, and whenever it is earlier than at the last: it reads all open deliveries.
    """
    global _last
    now = clock.now()
    if _last is None or now < _last:
        instants = {"now": now, "leased": now + LEASE, "planned": now + PLAN_AGAIN}
        with database.session() as session:
            found = sum(session.raw.execute(each, instants).rowcount for each in (_DELIVERIES, _PLANNERS))
        if found:
            log.warning("the clock was set back: %s deliveries and dispatches wait by the new time now", found)
    _last = now
