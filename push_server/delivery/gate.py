"""What stands between a claimed delivery and its push service: the common rate, the breaker, a paused VAPID key.

Who may not pass is given back, `queued`, to be looked at again later, and no try is counted.
"""

import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from push_server import clock
from push_server.db import Database, SiteSession
from push_server.delivery.claim import Chunk
from push_server.delivery.lane import Lane, lane, origin_of
from push_server.delivery.models import DeliveryState, Reason
from push_server.delivery.prepare import Claimed
from push_server.delivery.settle import AWAY, Settlement, decide
from push_server.delivery.vapid_pause import PROBE_EVERY, Key, KeyWatch, Pause, lift, start, take_probe
from push_server.webpush.message import PushResponse
from push_server.webpush.response import Outcome, Verdict, judge, retry_delay

log = logging.getLogger(__name__)

_ANSWER: Final = 300
"""Characters kept of what a push service wrote when it rejected a key."""

_rng = random.Random()
_watch = KeyWatch()


class Gate:
    """The gate for one chunk of a site."""

    def __init__(self, database: Database, chunk: Chunk, paused: list[Pause]) -> None:
        self._database, self._site_id = database, chunk.context.site_id
        self._at_most_once = chunk.context.message.at_most_once
        self._pauses: dict[Key, Pause] = {(pause.vapid_key_id, pause.origin): pause for pause in paused}
        self._left = Counter(origin_of(row.endpoint) for row in chunk.rows if row.endpoint is not None)
        self._lanes: dict[str, Lane] = {}
        self._posted: dict[int, tuple[float, Lane]] = {}
        self._probes: dict[int, Key] = {}
        self._rejections: list[tuple[Claimed, PushResponse]] = []

    def hold_back(self, row: Claimed) -> Settlement | None:
        """None: the delivery may be posted now, and `answered` or `not_posted` follows."""
        if row.endpoint is None or row.vapid_key_id is None:
            return None  # there is nothing to post, as `prepare` will say
        origin = origin_of(row.endpoint)
        key = row.vapid_key_id, origin
        left = self._left[origin]
        self._left[origin] = left - 1
        if key in self._pauses and not self._is_probe(row, key):
            return self._wait_for_key(row, self._pauses[key])
        own = self._lane(origin)
        again_at = own.take(row.id, retry=row.retries > 0, left=left)
        if again_at is not None:
            return self._give_back(row, again_at)
        self._posted[row.id] = time.monotonic(), own
        return None

    def not_posted(self, row: Claimed) -> None:
        """The delivery came to its end without being posted."""
        posted = self._posted.pop(row.id, None)
        if posted is not None:
            posted[1].give_back(retry=row.retries > 0)

    def answered(self, row: Claimed, response: PushResponse) -> Settlement | None:
        """What the answer makes of the delivery; None for a rejected key, which `rejected` tells of later."""
        verdict = judge(response)
        assert row.vapid_key_id is not None
        posted_at, own = self._posted.pop(row.id)
        is_probe = own.is_probe(row.id)
        own.note(row.id, verdict, response.status, time.monotonic() - posted_at, retry=row.retries > 0)
        if response.status is not None:
            self._judge_key(row, (row.vapid_key_id, own.origin), verdict)
        if verdict.outcome is Outcome.KEY_REJECTED:
            self._rejections.append((row, response))
            return None
        if response.status is None and response.posted and self._at_most_once:
            return Settlement(row.id, row.attempts, DeliveryState.FAILED, Reason.PUSH_SERVICE_ERROR)
        if (verdict.outcome is Outcome.THROTTLED and own.limited) or (verdict.outcome is Outcome.RETRY and is_probe):
            again_at = clock.now() + timedelta(seconds=retry_delay(1, verdict.retry_after, _rng))
            return self._give_back(row, again_at, response.status)
        return self._decide(row, verdict, response.status)

    def rejected(self) -> list[Settlement]:
        """The deliveries whose key was rejected: given back when it is the key as such, else failed."""
        rejections, self._rejections = self._rejections, []
        return [self._after_rejection(row, response) for row, response in rejections]

    def close(self) -> None:
        """Tell the other workers what there is to tell."""
        for own in self._lanes.values():
            own.rest()

    def _lane(self, origin: str) -> Lane:
        own = self._lanes.get(origin)
        if own is None:
            own = self._lanes[origin] = lane(origin, self._site_id)
        return own

    def _is_probe(self, row: Claimed, key: Key) -> bool:
        pause, now = self._pauses[key], clock.now()
        if not pause.may_probe(now):
            return False
        pause.probe_at = now + PROBE_EVERY
        if not self._in_database(lambda session: take_probe(session, pause, now)):
            return False
        self._probes[row.id] = key
        return True

    def _judge_key(self, row: Claimed, key: Key, verdict: Verdict) -> None:
        rejected = verdict.outcome is Outcome.KEY_REJECTED
        if verdict.outcome in (Outcome.ACCEPTED, Outcome.KEY_REJECTED):
            _watch.note(key, row.subscription_id, rejected=rejected)
        if self._probes.pop(row.id, None) and verdict.outcome is Outcome.ACCEPTED:
            self._pauses.pop(key, None)
            self._in_database(lambda session: lift(session, [key]) > 0)
            log.info("%s takes the VAPID key %s of site %s again", key[1], key[0], self._site_id)

    def _after_rejection(self, row: Claimed, response: PushResponse) -> Settlement:
        assert row.endpoint is not None
        assert row.vapid_key_id is not None
        assert response.status is not None
        key = row.vapid_key_id, origin_of(row.endpoint)
        if key not in self._pauses and not _watch.is_rejected(key):
            return self._decide(row, judge(response), response.status)
        if key not in self._pauses:
            self._pause(key, response.status, (response.error or "")[:_ANSWER])
        return self._wait_for_key(row, self._pauses[key])

    def _pause(self, key: Key, status: int, answer: str) -> None:
        now = clock.now()
        pause = Pause(key[0], key[1], now, now + PROBE_EVERY, _watch.rejections(key), status, answer)
        self._pauses[key] = pause
        is_new = self._in_database(lambda session: start(session, pause))
        _watch.forget(key)
        if is_new:
            log.error(
                "%s rejects the VAPID key %s of site %s (%s %s): sending under it is paused; GET /v1/push-services",
                key[1],
                key[0],
                self._site_id,
                status,
                answer,
            )

    def _in_database(self, work: Callable[[SiteSession], bool]) -> bool:
        """False, too, when the database is away: what is known of the deliveries must still be written."""
        try:
            with self._database.session(site_id=self._site_id) as session:
                return work(session)
        except AWAY as error:
            log.warning("pauses wait for the database: %s", str(error).strip().partition("\n")[0])
            return False

    def _wait_for_key(self, row: Claimed, pause: Pause) -> Settlement:
        now = clock.now()
        return self._give_back(row, now + pause.wait(now) * _rng.uniform(1, 1.5))

    def _give_back(self, row: Claimed, again_at: datetime, status: int | None = None) -> Settlement:
        due_at = min(again_at, row.expires_at)  # at its end the sweeper writes that it came too late
        return Settlement(row.id, row.attempts, DeliveryState.QUEUED, status_code=status, due_at=due_at)

    def _decide(self, row: Claimed, verdict: Verdict, status: int | None) -> Settlement:
        return decide(
            row.id,
            row.subscription_id,
            row.attempts,
            row.retries,
            verdict,
            status,
            now=clock.now(),
            expires_at=row.expires_at,
            rng=_rng,
        )
