"""The database: engine, sessions, and the one place where rows are scoped to their site.

Every table of a shop's data inherits `SiteScoped`. A session knows its site (`session.info["site_id"]`), and each
ORM select, update and delete it runs is narrowed to that site; without a site such a statement is refused, so a
forgotten filter fails loudly instead of leaking. Work that is of no single site (key lookup, sweepers) says
`.execution_options(all_sites=True)`. Hot paths that write SQL by hand carry `site_id` in it.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import Any

import psycopg
from sqlalchemy import BigInteger, DateTime, Engine, create_engine, event
from sqlalchemy.orm import ORMExecuteState, UOWTransaction, with_loader_criteria
from sqlmodel import Field, Session, SQLModel

from push_server.settings import settings

Instant = DateTime(timezone=True)


class SiteScoped(SQLModel):
    """Mixin of every table whose rows belong to one site."""

    site_id: int = Field(
        default=None, nullable=False, sa_type=BigInteger, foreign_key="site.id", index=True, ondelete="CASCADE"
    )


class NoSite(RuntimeError):
    """A site's rows were asked for in a session that knows no site: a programming error."""


class SiteSession(Session):
    """A session that may be bound to one site."""

    @property
    def site_id(self) -> int:
        """The bound site's internal id; NoSite when there is none."""
        site_id: int | None = self.info.get("site_id")
        if site_id is None:
            raise NoSite("bind the session to a site first")
        return site_id

    def bind_site(self, site_id: int) -> None:
        """From here on this session sees the rows of this site only."""
        self.info["site_id"] = site_id

    def sql(self, statement: Any, parameters: dict[str, Any] | None = None) -> Any:
        """Run a Core statement (SQLModel deprecates Session.execute, which Core needs)."""
        return self.connection().execute(statement, parameters or {})

    @property
    def raw(self) -> psycopg.Connection[Any]:
        """The psycopg connection of this session's transaction, for COPY and hand-written SQL."""
        driver: psycopg.Connection[Any] = self.connection().connection.driver_connection  # type: ignore[assignment]
        return driver


@event.listens_for(SiteSession, "do_orm_execute")
def _scope(state: ORMExecuteState) -> None:
    if state.is_column_load or state.is_relationship_load or state.execution_options.get("all_sites"):
        return
    scoped = {mapper.class_ for mapper in state.all_mappers if issubclass(mapper.class_, SiteScoped)}
    if not scoped:
        return
    site_id = state.session.info.get("site_id")
    if site_id is None:
        raise NoSite(f"statement on a site's rows without a site: {state.statement}")
    criteria = [with_loader_criteria(cls, cls.site_id == site_id, include_aliases=True) for cls in scoped]
    state.statement = state.statement.options(*criteria)


@event.listens_for(SiteSession, "before_flush")
def _stamp(session: Session, _context: UOWTransaction, _instances: object) -> None:
    site_id = session.info.get("site_id")
    for row in session.new:
        if isinstance(row, SiteScoped) and site_id is not None:
            if getattr(row, "site_id", None) is None:
                row.site_id = site_id
            elif row.site_id != site_id:
                raise NoSite(f"{type(row).__name__} of another site in this session")


class Database:
    """One process's connections to PostgreSQL."""

    def __init__(self, url: str, pool_size: int = 10) -> None:
        self.url = url
        self.engine: Engine = create_engine(
            driver_url(url),
            pool_size=pool_size,
            max_overflow=20,
            pool_pre_ping=True,
            pool_timeout=10,
            enable_from_linting=False,  # half a minute for a segment's rule of 450 events
            connect_args={"prepare_threshold": prepare_threshold()},
        )

    @contextmanager
    def session(self, site_id: int | None = None) -> Iterator[SiteSession]:
        """One transaction: commits at the end of the block, rolls back on any exception."""
        with SiteSession(self.engine, expire_on_commit=False) as session:
            if site_id is not None:
                session.bind_site(site_id)
            try:
                yield session
                session.commit()
            except BaseException:
                session.rollback()
                raise

    def connect(self, *, autocommit: bool = False) -> psycopg.Connection:
        """A plain psycopg connection of one's own, for COPY, LISTEN and advisory locks; the caller closes it."""
        return psycopg.connect(self.url, autocommit=autocommit, prepare_threshold=prepare_threshold())


def prepare_threshold() -> int | None:
    """How often psycopg runs a statement before it prepares it on the server; None: never."""
    return 5 if settings().prepared_statements else None


def driver_url(url: str) -> str:
    """SQLAlchemy's spelling of a libpq URL, with psycopg 3 as its driver."""
    for scheme in ("postgresql://", "postgres://"):
        if url.startswith(scheme):
            return "postgresql+psycopg://" + url[len(scheme) :]
    return url


@lru_cache
def database() -> Database:
    """This process's database, from HOMING_DATABASE_URL."""
    return Database(settings().require_database_url())


def array(values: Iterable[float | StrEnum | datetime | None]) -> str:
    """The text of an array parameter, to be cast; it takes a fraction of the time that psycopg needs for a list.

    Nothing of it may need quotes: numbers, truth values, instants, and words of our own.
    """
    return f"{{{','.join(map(str, values))}}}".replace("None", "null")


def instant_field(**kwargs: Any) -> Any:
    """A `timestamptz` column."""
    return Field(sa_type=Instant, **kwargs)
