"""Starting campaigns when their time comes. Any number of schedulers may look: the campaign's row says when it is due,
is locked while it starts, and moves on in the transaction that writes its dispatch.
"""

import logging
from typing import Any, Final

from sqlalchemy import ColumnElement, text
from sqlmodel import col, select

from push_server import clock
from push_server.audiences.instants import zone_of
from push_server.campaigns.control import pause
from push_server.campaigns.models import Campaign, CampaignState
from push_server.campaigns.schedule import latest_start, next_start
from push_server.campaigns.service import begin, sendable_audience
from push_server.db import Database, SiteSession
from push_server.errors import HomingError

log = logging.getLogger(__name__)

EVERY: Final = 0.5
"""Seconds between two looks, by which a start is late at most."""


def start_due(database: Database) -> None:
    """Start every campaign whose time has come, each in its own transaction."""
    with database.session() as session:
        due = text(
            "select id from campaign where next_at <= :now and state in ('scheduled', 'sending') order by next_at"
        )
        ids = session.sql(due, {"now": clock.now()}).scalars().all()
    failures = []
    for id in ids:
        try:
            _start(database, id)
        except Exception as error:  # the others' time has come too
            failures.append(error)
    if failures:
        raise failures[0]


def pause_stuck(database: Database) -> None:
    """Pause every campaign that waits for a segment whose members could not be found, and say so."""
    with database.session() as session:
        stuck = session.sql(_STUCK).scalars().all()
    for id in stuck:
        _pause_stuck(database, id)


def _pause_stuck(database: Database, id: int) -> None:
    with database.session() as session:
        campaign = _locked(session, id, [CampaignState.SENDING])
        if campaign is None:
            return
        try:
            sendable_audience(session, campaign)
        except HomingError as error:
            log.warning("campaign %s cannot be planned and is paused: %s", campaign.public_id, error.detail)
            pause(session, campaign, problem=error.detail)


_STUCK = text(
    "select distinct p.campaign_id from dispatch p where p.state = 'planning' and not p.is_test"
    " and p.paused_at is null and exists (select 1 from segment s where s.site_id = p.site_id"
    " and s.id = any(p.include || p.exclude) and s.state = 'failed')"
)


def _start(database: Database, id: int) -> None:
    try:
        with database.session() as session:
            campaign = _due(session, id)
            if campaign is not None:
                _start_once(session, campaign)
    except HomingError as error:  # a segment is no more, or failed: somebody must decide what is to be sent
        with database.session() as session:
            campaign = _due(session, id)
            if campaign is not None:
                log.warning("campaign %s cannot start and is paused: %s", campaign.public_id, error.detail)
                pause(session, campaign, problem=error.detail)


def _due(session: SiteSession, id: int) -> Campaign | None:
    """The campaign, locked; None when another scheduler has it, or has started it."""
    startable = [CampaignState.SCHEDULED, CampaignState.SENDING]
    return _locked(session, id, startable, col(Campaign.next_at) <= clock.now())


def _locked(session: SiteSession, id: int, states: list[CampaignState], *more: ColumnElement[bool]) -> Campaign | None:
    """The campaign in one of these states, its site bound; None when somebody else has it."""
    campaign = session.exec(
        select(Campaign)
        .where(Campaign.id == id, col(Campaign.state).in_(states), *more)
        .with_for_update(skip_locked=True)
        .execution_options(all_sites=True)
    ).one_or_none()
    if campaign is not None:
        session.bind_site(campaign.site_id)
    return campaign


def _start_once(session: SiteSession, campaign: Campaign) -> None:
    """One dispatch, however many starts were missed; then it is due at the next one that is to come."""
    assert campaign.next_at is not None
    document: dict[str, Any] = campaign.document
    zone, now = zone_of(session), clock.now()
    begin(session, campaign, latest_start(document["schedule"], zone, campaign.next_at, now))
    campaign.next_at = next_start(document["schedule"], zone, now)
