"""`/v1/push-services`: how the push services are that a site posts to, what is wrong, and what to do about it."""

from datetime import datetime
from typing import Annotated, Final, Literal

import redis
from fastapi import Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlmodel import select

from push_server import clock, http, security
from push_server.db import SiteSession
from push_server.delivery.exchange import LIMITS, forget
from push_server.delivery.push_services import PushService, origins, push_services
from push_server.delivery.vapid_pause import Pause, lift, pauses
from push_server.fields import Body, Name
from push_server.http import session_of
from push_server.sites.access import Principal, require
from push_server.sites.models import Scope, VapidKey
from push_server.webpush.response import Outcome

router = http.router("push services")

Reader = Annotated[Principal, Depends(require(Scope.SITE_READ))]
Writer = Annotated[Principal, Depends(require(Scope.SITE_WRITE))]

_NOT_ANSWERING: Final = (
    "It answers 5xx or not at all, so nothing but a probe is posted to it; deliveries wait and use up no tries. "
    "When other push services are well, there is nothing to do. When all are so, look at this server's own network."
)
_ENGAGEMENT: Final = (
    "It limits this site: many messages, few people who come for them. About {rate:.0f} a minute go out until it is "
    "judged anew; the others wait. Send less, and to those who click."
)
_LIMITED: Final = (
    "It refused many messages (429), so they are sent at a lower rate, which rises by itself. Nothing to do; if it is "
    "always so, spread campaigns over more time."
)
_REJECTED: Final = (
    "{origin} rejects this VAPID key: it answered {status} to most of the newest messages. Sending to it under the key "
    "is paused; what is to be sent waits, until its TTL. Check that HOMING_SECRET_KEY and the database fit each other, "
    "that the site's contact is an address of yours (PATCH /v1/site), and that this server's clock is right. Then call "
    "POST /v1/push-services/resume. One message every ten minutes tries it, and ends the pause when it is accepted."
)


class Latency(BaseModel):
    """Milliseconds in which half, and 95 %, of the answers came; null without any."""

    p50: float | None
    p95: float | None


class PushServiceOut(BaseModel):
    """One push service, and this site's traffic to it."""

    origin: str
    breaker: Literal["closed", "open", "half_open"] = Field(description="open: nothing is posted until `again_at`")
    again_at: str | None = Field(description="it is left alone until then, as it asked or after failures")
    rate_per_second: float | None = Field(description="the present limit of all workers together; null: none")
    engagement_limited_until: str | None = Field(description="Chrome's limit on sites that few people care for")
    answers: dict[Outcome, int] = Field(description="of the last five minutes, this one included")
    latency_ms: Latency
    lag_seconds: float = Field(description="by which the most overdue delivery is late; 0: none is")
    oldest_unsent_seconds: float | None = Field(description="since the oldest open delivery was to be sent; null: none")
    advice: str | None = Field(description="what is wrong and what to do")


class Alert(BaseModel):
    """Something that does not mend itself."""

    code: Literal["vapid_rejected"]
    origin: str
    vapid_public_key: str
    since: str
    rejected: int = Field(description="messages by which it was noticed")
    status_code: int
    answer: str = Field(description="the beginning of what the push service wrote")
    probe_at: str = Field(description="when a message tries it again")
    message: str = Field(description="what happened, and what to do")


class PushServices(BaseModel):
    """The push services that the site posted to within a day, or for which something waits."""

    live: bool = Field(description="whether Redis answered; without it only what waits is known, and alerts")
    alerts: list[Alert]
    data: list[PushServiceOut]


class Resume(Body):
    """Which push service to post to again."""

    model_config = ConfigDict(json_schema_extra={"example": {"origin": "https://fcm.googleapis.com"}})

    origin: Name | None = Field(default=None, description="null: all of them")


class Resumed(BaseModel):
    """What was ended. What waits is looked at again by itself, within a quarter of the pause's time, at most 23 min."""

    lifted: int = Field(description="pauses for a rejected VAPID key")


@router.get("/v1/push-services")
def get_push_services(request: Request, _principal: Reader) -> PushServices:
    """How each push service answers, how fast it is posted to, what waits for it, and what needs a human."""
    session, now = session_of(request), clock.now()
    found, live = push_services(session, now)
    return PushServices(live=live, alerts=_alerts(session), data=[_out(one, now) for one in found])


@router.post("/v1/push-services/resume")
def resume(body: Resume, request: Request, _principal: Writer) -> Resumed:
    """Post again: ends the pause for a rejected VAPID key, and forgets rates and limits of this site."""
    session = session_of(request)
    keys = [(one.vapid_key_id, one.origin) for one in pauses(session) if body.origin in (None, one.origin)]
    lifted = lift(session, keys) if keys else 0
    try:
        for origin in origins(session.site_id):
            if body.origin in (None, origin):
                forget(origin, session.site_id)
    except redis.RedisError:
        pass  # with it went the rates and limits
    return Resumed(lifted=lifted)


def _alerts(session: SiteSession) -> list[Alert]:
    paused = pauses(session)
    keys = {key.id: key.public_key for key in session.exec(select(VapidKey)).all()} if paused else {}
    return [_alert(one, keys[one.vapid_key_id]) for one in paused]


def _alert(pause: Pause, public_key: bytes) -> Alert:
    return Alert(
        code="vapid_rejected",
        origin=pause.origin,
        vapid_public_key=security.b64url(public_key),
        since=clock.rfc3339(pause.since),
        rejected=pause.rejected,
        status_code=pause.status_code,
        answer=pause.answer,
        probe_at=clock.rfc3339(pause.probe_at),
        message=_REJECTED.format(origin=pause.origin, status=pause.status_code),
    )


def _out(one: PushService, now: datetime) -> PushServiceOut:
    return PushServiceOut(
        origin=one.origin,
        breaker=one.breaker,
        again_at=clock.rfc3339(one.again_at) if one.again_at else None,
        rate_per_second=one.rate,
        engagement_limited_until=clock.rfc3339(one.engagement_until) if one.engagement_until else None,
        answers={outcome: one.answers[outcome] for outcome in Outcome},
        latency_ms=Latency(p50=one.latency(0.5), p95=one.latency(0.95)),
        lag_seconds=(now - one.due_since).total_seconds() if one.due_since else 0,
        oldest_unsent_seconds=max(0.0, (now - one.unsent_since).total_seconds()) if one.unsent_since else None,
        advice=_advice(one),
    )


def _advice(one: PushService) -> str | None:
    if one.breaker != "closed":
        return _NOT_ANSWERING
    if one.engagement_until is not None:
        return _ENGAGEMENT.format(rate=LIMITS["engagement_rate"] * 60)
    return _LIMITED if one.rate is not None else None
