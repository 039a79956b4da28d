"""What became of a campaign's deliveries: counts of one snapshot, and the rows behind them."""

from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import text

from push_server import clock
from push_server.db import SiteSession
from push_server.delivery.models import DeliveryState
from push_server.events.conversions import converts, stands

OUTCOMES: Final = ("shown", "clicked", "closed", "converted")

# One statement, so that all of it is of one instant and adds up.
_COUNTS = text(
    f"""
    with sent as not materialized (
        select d.id, d.variant, d.state, d.reason, d.customer_id
        from dispatch p join delivery d on d.dispatch_id = p.id
        where p.campaign_id = :campaign and p.site_id = :site and not p.is_test
    )
    select 'state' as what, variant, state as name, reason, count(*) as n from sent group by variant, state, reason
    union all
    select 'outcome', s.variant, r.kind, null, count(distinct s.id)
    from sent s join receipt r on r.delivery_id = s.id group by s.variant, r.kind
    union all
    select 'outcome', s.variant, 'converted', null, count(distinct s.id)
    from sent s join receipt r on r.delivery_id = s.id and r.kind = 'clicked'
    where exists (
        select 1 from order_value o
        where {converts("o", customer_id="s.customer_id", clicked_at="r.at")} and {stands("o")}
    )
    group by s.variant
    """  # noqa: S608 — no text from outside
)

_ROWS = text(
    """
    select d.id, c.external_id, c.anonymous_id, s.public_id as subscription, d.variant, d.state, d.reason, d.attempts,
           d.status_code, d.not_before, d.updated_at,
           case when d.state in ('queued', 'retry') then d.due_at end as due_at
    from dispatch p join delivery d on d.dispatch_id = p.id
    left join customer c on c.id = d.customer_id and c.site_id = :site
    left join subscription s on s.id = d.subscription_id and s.site_id = :site
    where p.campaign_id = :campaign and p.site_id = :site and not p.is_test and d.id > :after
    and (cast(:state as text) is null or d.state = :state)
    order by d.id limit :limit
    """
)


@dataclass(slots=True)
class Counts:
    """Deliveries by state (all states, so that they can be added up), by reason and by outcome."""

    audience: int = 0
    states: dict[str, int] = field(default_factory=lambda: dict.fromkeys(map(str, DeliveryState), 0))
    reasons: dict[str, int] = field(default_factory=dict)
    outcomes: dict[str, int] = field(default_factory=lambda: dict.fromkeys(OUTCOMES, 0))

    def add(self, row: Any) -> None:
        """Count one group of deliveries."""
        if row.what == "outcome":
            self.outcomes[row.name] += row.n
            return
        self.audience += row.n
        self.states[row.name] += row.n
        if row.reason is not None:
            self.reasons[row.reason] = self.reasons.get(row.reason, 0) + row.n


def counts(session: SiteSession, campaign_id: int, variants: int) -> tuple[Counts, list[Counts]]:
    """The campaign's counts, and those of each variant; tests are not among them."""
    total, by_variant = Counts(), [Counts() for _ in range(variants)]
    found = session.sql(
        _COUNTS,
        {"campaign": campaign_id, "site": session.site_id, "now": clock.now()},
    )
    for row in found:
        total.add(row)
        by_variant[row.variant].add(row)
    return total, by_variant


def rows(session: SiteSession, campaign_id: int, state: DeliveryState | None, after: int, limit: int) -> list[Any]:
    """The campaign's deliveries in the order they were planned, beyond the row id `after`."""
    asked = {"campaign": campaign_id, "site": session.site_id, "state": state, "after": after, "limit": limit}
    return list(session.sql(_ROWS, asked))
