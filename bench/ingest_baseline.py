"""The baselines of `homing bench ingest`: an event endpoint as one writes it with FastAPI.

`/v1`: pydantic models in, one bulk INSERT by SQLAlchemy a request, commit. `/tutorial/v1`: as FastAPI's own tutorial
on SQL databases does it, SQLModel rows added to a session, commit. Both have one table with a unique message id and an
index by customer, and none of Homing's identities, dictionary, orders or limits: they do less.
"""

import os
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel
from sqlalchemy import Engine, Index, create_engine, insert
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, MetaData, Session, SQLModel


class EventIn(BaseModel):
    """One call of track."""

    event: str = Field(min_length=1, max_length=255)
    userId: str = Field(min_length=1, max_length=255)
    messageId: str = Field(min_length=1, max_length=255)
    timestamp: datetime | None = None
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}

    def columns(self) -> dict[str, Any]:
        """Its row."""
        return {
            "message_id": self.messageId,
            "user_id": self.userId,
            "event": self.event,
            "ts": self.timestamp or datetime.now(UTC),
            "properties": self.properties,
            "context": self.context,
        }


class BatchIn(BaseModel):
    """Several of them."""

    batch: list[EventIn]


class BaselineEvent(SQLModel, table=True):
    """The row of an event."""

    metadata = MetaData()
    __tablename__ = "baseline_event"
    __table_args__ = (Index("baseline_event_of_user", "user_id", "event", "ts"),)

    id: int | None = Field(default=None, primary_key=True)
    message_id: str = Field(unique=True)
    user_id: str
    event: str
    ts: datetime
    properties: dict[str, Any] = Field(sa_type=JSONB)
    context: dict[str, Any] = Field(sa_type=JSONB)


@lru_cache
def _engine() -> Engine:
    return create_engine(os.environ["BENCH_DATABASE_URL"], pool_size=10, max_overflow=20)


def _insert(events: list[EventIn]) -> dict[str, bool]:
    with _engine().begin() as connection:
        connection.execute(insert(BaselineEvent), [event.columns() for event in events])
    return {"success": True}


def _add(events: list[EventIn]) -> dict[str, bool]:
    with Session(_engine()) as session:
        session.add_all([BaselineEvent(**event.columns()) for event in events])
        session.commit()
    return {"success": True}


plain = APIRouter(prefix="/v1")
tutorial = APIRouter(prefix="/tutorial/v1")


@plain.post("/track")
def insert_one(event: EventIn) -> dict[str, bool]:
    """One event, committed."""
    return _insert([event])


@plain.post("/batch")
def insert_many(body: BatchIn) -> dict[str, bool]:
    """Many events, committed."""
    return _insert(body.batch)


@tutorial.post("/track")
def add_one(event: EventIn) -> dict[str, bool]:
    """One event, committed."""
    return _add([event])


@tutorial.post("/batch")
def add_many(body: BatchIn) -> dict[str, bool]:
    """Many events, committed."""
    return _add(body.batch)


app = FastAPI()
app.include_router(plain)
app.include_router(tutorial)
