"""A push service that rejects a site's VAPID key: what is under that key waits, instead of failing one by one.

A pause is a row, so that it outlives Redis. It ends by a call, or by itself once a probe is not rejected any more.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg.rows import class_row
from sqlalchemy import BigInteger, Column, ForeignKey, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text
from sqlmodel import SQLModel

from push_server.db import Instant, SiteSession

LATEST: Final = 20
"""Answers by which a key is judged, the newest ones of a push service to it in this process."""
REJECTED: Final = 5
"""Different subscriptions among them that it must have been rejected for, and half of the answers: some subscriptions
of a shop, 2 % are told of, are rejected for reasons of their own, which stops nobody."""
PROBE_EVERY: Final = timedelta(minutes=10)
SHORTEST_WAIT: Final = timedelta(minutes=1)
LONGEST_WAIT: Final = timedelta(minutes=15)

vapid_pause = Table(
    "vapid_pause",
    SQLModel.metadata,
    Column("site_id", BigInteger, ForeignKey("site.id", ondelete="CASCADE"), nullable=False),
    Column("vapid_key_id", BigInteger, ForeignKey("vapid_key.id", ondelete="CASCADE"), nullable=False),
    Column("origin", Text, nullable=False),
    Column("since", Instant, nullable=False),
    Column("probe_at", Instant, nullable=False),
    Column("rejected", Integer, nullable=False),
    Column("status_code", SmallInteger, nullable=False),
    Column("answer", Text, nullable=False),
    PrimaryKeyConstraint("site_id", "vapid_key_id", "origin"),
)

Key = tuple[int, str]
"""A VAPID key's id and the push service's origin."""


@dataclass(slots=True)
class Pause:
    """Why nothing is posted under a key to a push service. `rejected`: how often it was since."""

    vapid_key_id: int
    origin: str
    since: datetime
    probe_at: datetime
    rejected: int
    status_code: int
    answer: str

    def wait(self, now: datetime) -> timedelta:
        """How long a delivery waits until it is looked at again: a quarter of the pause's age, 1 to 15 minutes."""
        return min(max((now - self.since) / 4, SHORTEST_WAIT), LONGEST_WAIT)

    def may_probe(self, now: datetime) -> bool:
        """Whether it is time for a probe; a time too far ahead is from before the clock was set back."""
        return not now < self.probe_at <= now + PROBE_EVERY


class KeyWatch:
    """What push services lately said to each VAPID key, in this process."""

    def __init__(self) -> None:
        self._answers: dict[Key, deque[tuple[int | None, bool]]] = {}

    def note(self, key: Key, subscription_id: int | None, *, rejected: bool) -> None:
        """An answer to a message under the key."""
        if rejected or key in self._answers:  # most keys are never rejected, and cost a look-up
            self._answers.setdefault(key, deque(maxlen=LATEST)).append((subscription_id, rejected))

    def is_rejected(self, key: Key) -> bool:
        """Whether the key as such is what the push service does not take."""
        answers = self._answers.get(key, ())
        rejections = [subscription for subscription, rejected in answers if rejected]
        return len(set(rejections)) >= REJECTED and 2 * len(rejections) >= len(answers)

    def rejections(self, key: Key) -> int:
        """How many of the newest answers to the key were rejections."""
        return sum(rejected for _, rejected in self._answers.get(key, ()))

    def forget(self, key: Key) -> None:
        """Judge the key anew."""
        self._answers.pop(key, None)


def pauses(session: SiteSession) -> list[Pause]:
    """The site's pauses, the oldest first."""
    with session.raw.cursor(row_factory=class_row(Pause)) as cursor:
        return cursor.execute(
            "select vapid_key_id, origin, since, probe_at, rejected, status_code, answer from vapid_pause"
            " where site_id = %s order by since",
            [session.site_id],
        ).fetchall()


def start(session: SiteSession, pause: Pause) -> bool:
    """Write a pause; whether there was none. One that there is counts on."""
    row = session.raw.execute(
        """
        insert into vapid_pause (site_id, vapid_key_id, origin, since, probe_at, rejected, status_code, answer)
        values (%s, %s, %s, %s, %s, %s, %s, %s)
        on conflict (site_id, vapid_key_id, origin)
        do update set rejected = vapid_pause.rejected + excluded.rejected returning xmax = 0
        """,
        [
            session.site_id,
            pause.vapid_key_id,
            pause.origin,
            pause.since,
            pause.probe_at,
            pause.rejected,
            pause.status_code,
            pause.answer,
        ],
    ).fetchone()
    return row == (True,)


def take_probe(session: SiteSession, pause: Pause, now: datetime) -> bool:
    """Whether the caller, and no other worker, may post the one message that tries whether the key is taken again."""
    claimed = session.raw.execute(
        "update vapid_pause set probe_at = %s where site_id = %s and vapid_key_id = %s and origin = %s"
        " and (probe_at <= %s or probe_at > %s)",
        [now + PROBE_EVERY, session.site_id, pause.vapid_key_id, pause.origin, now, now + PROBE_EVERY],
    )
    return claimed.rowcount == 1


def lift(session: SiteSession, keys: Iterable[Key]) -> int:
    """End these pauses of the site; how many there were. What waits is looked at again by itself."""
    ids, origins = zip(*keys, strict=True)
    return session.raw.execute(
        "delete from vapid_pause p using unnest(%s::bigint[], %s::text[]) as u(vapid_key_id, origin)"
        " where p.site_id = %s and p.vapid_key_id = u.vapid_key_id and p.origin = u.origin",
        [list(ids), list(origins), session.site_id],
    ).rowcount
