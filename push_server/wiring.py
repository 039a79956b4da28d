"""What there is to run: the API's routers and the scheduler's ticks."""

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter

import push_server.audiences.api
import push_server.audiences.backfill
import push_server.audiences.explain_api
import push_server.audiences.export_api
import push_server.audiences.history_api
import push_server.audiences.refresh
import push_server.audiences.retention
import push_server.audiences.what_if_api
import push_server.audiences.zones
import push_server.campaigns.api
import push_server.campaigns.service
import push_server.campaigns.starts
import push_server.catalog.api
import push_server.customers.api
import push_server.customers.identity
import push_server.delivery.api
import push_server.delivery.control
import push_server.delivery.experiments
import push_server.delivery.follow
import push_server.delivery.push_services_api
import push_server.delivery.sweep
import push_server.events.export_api
import push_server.events.followers
import push_server.events.ingest
import push_server.events.partitions
import push_server.events.read_api
import push_server.events.retention
import push_server.events.retention_api
import push_server.loyalty.api
import push_server.loyalty.happenings
import push_server.loyalty.program_api
import push_server.loyalty.store
import push_server.sdk.api
import push_server.sites.api
import push_server.sites.keys_api
import push_server.sites.retention
import push_server.sites.service
import push_server.subscriptions.api
import push_server.subscriptions.preferences
import push_server.subscriptions.service
import push_server.subscriptions.vapid_keys_api
from push_server import http, queue
from push_server.db import Database

Tick = tuple[str, float, Callable[[Database], Any]]

push_server.events.followers.follow(push_server.loyalty.happenings.LoyaltyEvents())
push_server.customers.identity.when_merged(push_server.loyalty.store.draw_together)
push_server.subscriptions.service.when_replaced(push_server.delivery.follow.follow)

push_server.sites.retention.before_change(push_server.audiences.retention.refuse_contradiction)
push_server.sites.service.before_zone_change(push_server.audiences.zones.refuse_unreadable)


def routers() -> list[APIRouter]:
    """Every API router, in the order of the OpenAPI document."""
    return [
        push_server.events.ingest.router,  # first, since it is called most
        push_server.sites.api.router,
        push_server.sites.keys_api.router,
        push_server.subscriptions.vapid_keys_api.router,
        push_server.subscriptions.api.browser_side,
        push_server.subscriptions.preferences.router,
        push_server.subscriptions.api.router,
        push_server.events.read_api.router,
        push_server.events.export_api.router,
        push_server.events.retention_api.router,
        push_server.audiences.explain_api.router,
        push_server.audiences.export_api.router,
        push_server.audiences.history_api.router,
        push_server.audiences.what_if_api.router,
        push_server.audiences.api.router,  # before customers, whose ids take slashes
        push_server.loyalty.api.router,
        push_server.loyalty.program_api.router,
        push_server.customers.api.router,
        push_server.catalog.api.router,
        push_server.campaigns.api.router,
        push_server.delivery.api.router,
        push_server.delivery.push_services_api.router,
        push_server.sdk.api.router,
    ]


def ticks() -> list[Tick]:
    """What the scheduler repeats: name, seconds between the end of one run and the next, function."""
    return [
        ("outbox relay", 1.0, queue.relay),
        ("idempotency keys", 60.0, http.forget_idempotency_keys),
        ("delivery sweep", push_server.delivery.sweep.EVERY, push_server.delivery.sweep.sweep),
        ("cancelled deliveries", push_server.delivery.control.EVERY, push_server.delivery.control.end_cancelled),
        ("experiments", push_server.delivery.experiments.EVERY, push_server.delivery.experiments.decide_due),
        ("segments", push_server.audiences.refresh.EVERY, push_server.audiences.refresh.tick),
        ("segments in the background", push_server.audiences.backfill.EVERY, push_server.audiences.backfill.tick),
        ("events by year", push_server.events.partitions.EVERY, push_server.events.partitions.tick),
        ("retention", push_server.events.retention.PLAN_EVERY, push_server.events.retention.plan),
        ("deletion by age", push_server.events.retention.WORK_EVERY, push_server.events.retention.work),
        ("campaign starts", push_server.campaigns.starts.EVERY, push_server.campaigns.starts.start_due),
        ("campaigns that wait for nothing", 5.0, push_server.campaigns.starts.pause_stuck),
        ("campaign ends", 1.0, push_server.campaigns.service.finish),
    ]
