"""Whether the parts that we need are there: for operators at start, and for load balancers at `/readyz`."""

import logging
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import psycopg
import redis
from fastapi import APIRouter
from sqlalchemy import text

from push_server import security
from push_server.db import Database
from push_server.errors import Fault, StartupError, Unavailable
from push_server.http import FAULTS
from push_server.settings import settings

OLDEST_POSTGRES = 15
TIMEOUT_SECONDS = 3

log = logging.getLogger(__name__)

_reported: dict[str, str | None] = {}

router = APIRouter(tags=["health"])


@router.get("/healthz", summary="Whether the process is alive")
def healthz() -> dict[str, str]:
    """200 whenever the process can answer at all; nothing else is looked at."""
    return {"status": "ok"}


@router.get("/readyz", summary="Whether requests can be served", responses=FAULTS)
def readyz() -> dict[str, str]:
    """200 when database, schema and Redis are as they must be; else a 503 that names what is not."""
    known = settings()
    checks: dict[str, Callable[[], None]] = {
        "database": lambda: check_database(known.require_database_url(), schema=True),
        "redis": lambda: check_redis(known.require_redis_url()),
    }
    faults: list[Fault] = []
    for part, check in checks.items():
        try:
            check()
        except StartupError as error:
            faults.append(Fault(part, error.code.replace("_", " "), error.code))
            _report(part, error)
        else:
            _report(part, None)
    if faults:
        names = ", ".join(fault.path for fault in faults)
        raise Unavailable(f"Not ready: {names}. The log says more.", code="not_ready", faults=faults, retry_after=2)
    return {"status": "ready"}


def _report(part: str, error: StartupError | None) -> None:
    """Addresses and users are for the log, once, and not for whoever calls."""
    code = error.code if error is not None else None
    if code != _reported.get(part):
        log.warning("%s: %s", part, error.detail if error is not None else "answers again")
    _reported[part] = code


def check_database(url: str, *, schema: bool) -> None:
    """StartupError unless a PostgreSQL that is new enough answers at `url`; with `schema`, one that is migrated."""
    try:
        with psycopg.connect(url, connect_timeout=TIMEOUT_SECONDS, autocommit=True) as connection:
            _check_version(connection.info.server_version)
            if schema:
                _check_schema(connection)
    except psycopg.OperationalError as error:
        raise _explain_connection(str(error).strip()) from None
    except psycopg.ProgrammingError as error:
        raise StartupError(
            f"HOMING_DATABASE_URL cannot be read: {error}. It looks like postgresql://user:password@host:5432/name.",
            code="database_url_invalid",
        ) from None


def _check_version(version: int) -> None:
    if version < OLDEST_POSTGRES * 10000:
        raise StartupError(
            f"The database server is PostgreSQL {version // 10000}; Homing needs {OLDEST_POSTGRES} or newer. Upgrade "
            "it, or unset HOMING_DATABASE_URL to use the embedded one.",
            code="database_too_old",
        )


def _check_schema(connection: psycopg.Connection) -> None:
    row = None
    if connection.execute("select to_regclass('alembic_version')").fetchone() != (None,):
        row = connection.execute("select version_num from alembic_version").fetchone()
    if row is None:
        raise StartupError("The database has no tables yet. Run `homing migrate`.", code="not_migrated")
    known = _revisions()
    if row[0] in known[1:]:  # one we do not know is a newer version's, whose changes leave ours working
        raise StartupError(
            f"The database's schema is at {row[0]}, this version needs {known[0]}. Run `homing migrate`.",
            code="not_migrated",
        )


def check_redis(url: str) -> None:
    """StartupError unless a Redis or Valkey that takes our password answers at `url`."""
    try:
        with redis.Redis.from_url(
            url, socket_connect_timeout=TIMEOUT_SECONDS, socket_timeout=TIMEOUT_SECONDS
        ) as client:
            client.ping()
    except redis.AuthenticationError:
        raise StartupError(
            "Redis refuses the user or password in HOMING_REDIS_URL (redis://user:password@host:6379/0).",
            code="redis_auth",
        ) from None
    except redis.RedisError as error:
        raise StartupError(
            f"Redis does not answer ({error}). Start it, or correct HOMING_REDIS_URL; unset, `homing up` starts one.",
            code="redis_unreachable",
        ) from None
    except ValueError as error:
        raise StartupError(
            f"HOMING_REDIS_URL cannot be read: {error}. It looks like redis://host:6379/0.", code="redis_url_invalid"
        ) from None


def check_secret_key(database: Database) -> None:
    """StartupError when what the database holds was stored under another secret key."""
    with database.engine.connect() as connection:
        sealed = connection.execute(text("select identity_secret from site order by id limit 1")).scalar()
    if sealed is not None:
        security.unseal(bytes(sealed), "site.identity_secret")


@lru_cache
def _revisions() -> list[str]:
    """The schema revisions that this version knows, the newest first: the numbers that their files begin with."""
    files = (Path(__file__).parent / "migrations" / "versions").glob("[0-9]*.py")
    return sorted((file.name.partition("_")[0] for file in files), reverse=True)


def _explain_connection(message: str) -> StartupError:
    if "password" in message or "role" in message or "no pg_hba.conf entry" in message:
        return StartupError(
            f"The database refuses the user or password in HOMING_DATABASE_URL: {message}", code="database_auth"
        )
    if "does not exist" in message:
        return StartupError(
            f"The database server has no such database; create it, or correct HOMING_DATABASE_URL: {message}",
            code="database_missing",
        )
    return StartupError(
        f"The database does not answer ({message.splitlines()[0]}). Start it, or correct HOMING_DATABASE_URL; without "
        "it `homing up` starts one.",
        code="database_unreachable",
    )
