"""Campaigns that find their best variant first: a part of the audience tries all, the rest waits for the winner.

Who waits has his row like everybody, planned for an instant that does not come (`held_until`), so that nothing sends it
before it is let go. That happens once for each row, since a row that was let go is planned for another instant.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import text
from sqlmodel import col, select

from push_server import clock
from push_server.db import Database, SiteSession
from push_server.delivery.message import Experiment, Message
from push_server.delivery.models import Dispatch, DispatchState
from push_server.delivery.winner import evidence, leader, winner
from push_server.events.conversions import converts, stands

log = logging.getLogger(__name__)

EVERY: Final = 5.0
"""Seconds between two looks; each counts the clicks of all open experiments."""
AT_ONCE: Final = 20_000
"""Deliveries that are let go in a transaction, which is half a second."""
_NEVER: Final = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Standing:
    """How an experiment stands. `sent` and `successes` by variant; `evidence` for the leader against its best rival."""

    leader: int
    sent: list[int]
    successes: list[int]
    evidence: float


def held_until(dispatch: Dispatch) -> datetime:
    """What those are planned for who wait for a winner."""
    assert dispatch.created_at is not None
    return dispatch.created_at + _NEVER


def decide_due(database: Database) -> None:
    """Look at every open experiment, decide those that can be, and let go who waits for them."""
    with database.session() as session:
        open_ones = list(session.sql(_OPEN).scalars())
    for dispatch_id in open_ones:
        while _look(database, dispatch_id):
            pass


def standing(session: SiteSession, dispatch: Dispatch, message: Message) -> Standing:
    """How the experiment of a dispatch stands: of those who try all variants, what came of accepted messages."""
    assert message.experiment is not None
    sent, successes = ([0] * len(message.weights) for _ in range(2))
    asked = {"dispatch": dispatch.id, "site": session.site_id, "now": clock.now()}
    for row in session.sql(_TRIED[message.experiment["metric"]], asked):
        sent[row.variant], successes[row.variant] = row.sent, row.successes
    best = leader(successes, message.weights)
    rivals = [at for at in range(len(sent)) if at != best]
    against = [_pair(best, other, successes, message.weights) for other in rivals]
    return Standing(best, sent, successes, min(against, default=1.0))


def latest_standing(session: SiteSession, campaign_id: int) -> tuple[Dispatch, str, Standing] | None:
    """The campaign's latest run, its metric, and how its experiment stands; None where it has none."""
    runs = select(Dispatch).where(Dispatch.campaign_id == campaign_id, col(Dispatch.is_test).is_(False))
    dispatch = session.exec(runs.order_by(col(Dispatch.id).desc()).limit(1)).first()
    message = Message(**dispatch.message) if dispatch is not None else None  # type: ignore[arg-type]
    if dispatch is None or message is None or message.experiment is None:
        return None
    return dispatch, message.experiment["metric"], standing(session, dispatch, message)


def _pair(best: int, other: int, successes: list[int], weights: list[float]) -> float:
    return evidence((successes[best], successes[other]), (weights[best], weights[other]))


def _look(database: Database, dispatch_id: int) -> bool:
    """Whether there may be more to let go."""
    with database.session() as session:
        statement = select(Dispatch).where(Dispatch.id == dispatch_id, Dispatch.state != DispatchState.DONE)
        runs = statement.where(col(Dispatch.paused_at).is_(None), col(Dispatch.cancelled_at).is_(None))
        locked = runs.with_for_update(skip_locked=True).execution_options(all_sites=True)
        dispatch = session.exec(locked).one_or_none()
        if dispatch is None:
            return False
        session.bind_site(dispatch.site_id)
        if dispatch.winner is None:
            _decide(session, dispatch)
        if dispatch.winner is None:
            return False
        asked = {"dispatch": dispatch.id, "winner": dispatch.winner, "held": held_until(dispatch)}
        let_go = session.raw.execute(_LET_GO, {**asked, "now": clock.now(), "most": AT_ONCE})
        return let_go.rowcount == AT_ONCE


def _decide(session: SiteSession, dispatch: Dispatch) -> None:
    message = Message(**dispatch.message)  # type: ignore[arg-type]
    experiment: Experiment | None = message.experiment
    assert experiment is not None
    assert dispatch.created_at is not None
    now, found = clock.now(), standing(session, dispatch, message)
    best = winner(found.successes, message.weights, experiment["confidence"])
    is_over = now >= dispatch.created_at + timedelta(seconds=experiment["seconds"])
    if best is None and not is_over:
        return
    dispatch.winner = found.leader if best is None else best
    dispatch.decided_at, dispatch.is_certain = now, best is not None
    session.add(dispatch)
    session.flush()
    log.info("variant %s of dispatch %s is sent to all who waited", dispatch.winner, dispatch.id)


_OPEN = text(
    "select id from dispatch where state <> 'done' and not is_test and message -> 'experiment' <> 'null'"
    " and paused_at is null and cancelled_at is null order by id"
)
_LET_GO = """
update delivery d set variant = %(winner)s, not_before = %(now)s, due_at = %(now)s, updated_at = %(now)s
from (select id from delivery where dispatch_id = %(dispatch)s and state = 'queued' and due_at = %(held)s
      and not_before = %(held)s limit %(most)s for update skip locked) held
where d.id = held.id
"""


def _tried(success: str) -> Any:
    return text(
        f"""
        select d.variant, count(*) as sent, count(*) filter (where exists (
            select 1 from receipt r where r.delivery_id = d.id and r.kind = 'clicked' and {success})) as successes
        from delivery d where d.dispatch_id = :dispatch and d.site_id = :site and d.state = 'accepted'
        and d.not_before is null group by d.variant
        """  # noqa: S608 - no text from outside
    )


_CONVERTS = converts("o", customer_id="d.customer_id", clicked_at="r.at")
_ORDERED: Final = f"exists (select 1 from order_value o where {_CONVERTS} and {stands('o')})"  # noqa: S608
_TRIED: Final = {"clicked": _tried("true"), "converted": _tried(_ORDERED)}
