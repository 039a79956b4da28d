"""Background jobs: an outbox in PostgreSQL first, RQ on Redis second. The only ground-floor file that knows RQ.

`enqueue` writes an outbox row in the caller's transaction and pushes it to RQ right after the commit; a row whose
push failed (Redis down, process killed in between) is sent by the scheduler's `relay`. Redis may therefore be
emptied at any time. A job may run twice: what it does is guarded by row states in PostgreSQL, never by its id.
"""

import logging
from functools import lru_cache
from typing import Any

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from rq import Queue
from rq.serializers import JSONSerializer
from sqlalchemy import BigInteger, Column, Identity, Table, Text, event, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session
from sqlmodel import SQLModel

from push_server.db import Database, Instant, SiteSession
from push_server.settings import settings

log = logging.getLogger(__name__)

PLAN, RETRY, SEND = "plan", "retry", "send"
QUEUES = (PLAN, RETRY, SEND)  # in the order of preference: what is tried again does not wait behind a campaign
JOB_TIMEOUT = 600
ANSWER = 2.0
"""Seconds, for commands that take a millisecond: with four tries a request is held up by eight at most, and what it
wanted to enqueue stays in the outbox."""

outbox = Table(
    "outbox",
    SQLModel.metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("queue", Text, nullable=False),
    Column("job", Text, nullable=False),
    Column("args", JSONB, nullable=False),
    Column("created_at", Instant, nullable=False, server_default=func.now()),
)


@lru_cache
def redis_client() -> redis.Redis:
    """This process's connection pool to Redis or Valkey. A server that does not answer for `ANSWER` seconds is away."""
    return _client(socket_timeout=ANSWER)


def waiting_client() -> redis.Redis:
    """A worker's, which waits in Redis for its next job; how long, RQ sets in the pool that it is given."""
    return _client()


def _client(**more: Any) -> redis.Redis:
    return redis.Redis.from_url(
        settings().require_redis_url(),
        socket_connect_timeout=5,
        health_check_interval=15,
        retry=Retry(ExponentialBackoff(cap=0.5, base=0.02), 3),
        **more,
    )


def rq_queue(name: str, connection: redis.Redis | None = None) -> Queue:
    """The RQ queue of that name; JSON, so that whoever reaches Redis cannot run code of his own."""
    client = connection or redis_client()
    return Queue(name, connection=client, serializer=JSONSerializer, default_timeout=JOB_TIMEOUT)


def push(queue: str, job: str, args: dict[str, Any]) -> None:
    """Put a job on its RQ queue now. `job` is a dotted path in a `jobs.py`; `args` must be JSON."""
    rq_queue(queue).enqueue(job, kwargs=args, result_ttl=0, failure_ttl=3600)


def depth(name: str) -> int:
    """How many jobs wait on the queue. redis.RedisError when Redis does not answer."""
    return len(rq_queue(name))


def enqueue(session: SiteSession, queue: str, job: str, **args: Any) -> None:
    """Run `job(**args)` in a worker once this transaction has committed."""
    row = session.sql(outbox.insert().returning(outbox.c.id), {"queue": queue, "job": job, "args": args})
    session.info.setdefault("outbox", []).append((row.scalar_one(), queue, job, args))


@event.listens_for(SiteSession, "after_rollback")
def _forget(session: Session) -> None:
    session.info.pop("outbox", None)


@event.listens_for(SiteSession, "after_commit")
def _send(session: Session) -> None:
    rows = session.info.pop("outbox", [])
    if not rows:
        return
    try:
        for _id, queue, job, args in rows:
            push(queue, job, args)
    except redis.RedisError as error:
        log.warning("jobs wait in the outbox until Redis answers again: %s", error)
        return
    try:
        with session.get_bind().connect() as connection:  # type: ignore[union-attr]
            connection.execute(outbox.delete().where(outbox.c.id.in_([row[0] for row in rows])))
            connection.commit()
    except (DBAPIError, PoolTimeout) as error:  # what the caller wanted is committed all the same
        log.warning("jobs that were sent stay in the outbox, and are sent again: %s", error)


def relay(database: Database, limit: int = 500, min_age_seconds: float = 2.0) -> int:
    """Send what the outbox still holds; returns how many. Rows are locked, so several relays share the work."""
    with database.engine.begin() as connection:
        rows = connection.execute(
            text(
                "delete from outbox where id in (select id from outbox"
                " where created_at < now() - make_interval(secs => :age)"
                " order by id limit :limit for update skip locked) returning id, queue, job, args"
            ),
            {"age": min_age_seconds, "limit": limit},
        ).all()
        for row in sorted(rows, key=lambda row: row.id):
            push(row.queue, row.job, row.args)  # a failure here rolls the delete back
    return len(rows)
