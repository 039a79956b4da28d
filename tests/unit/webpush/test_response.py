"""The table of outcomes and the times between tries."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from push_server.delivery.models import Reason
from push_server.webpush.message import PushMessage, PushResponse, fields
from push_server.webpush.response import (
    MAX_DELAY,
    MAX_RETRY_AFTER,
    NOT_SENT,
    Outcome,
    judge,
    parse_retry_after,
    retry_delay,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "error", "outcome", "reason"),
    [
        *((status, None, Outcome.ACCEPTED, None) for status in (200, 201, 202, 204)),
        *((status, None, Outcome.GONE, "gone") for status in (404, 410)),
        (413, "", Outcome.TOO_LARGE, "too_large"),
        *((status, "", Outcome.RETRY, "push_service_error") for status in (408, 425, 500, 502, 503, 504, 599)),
        *((status, "", Outcome.THROTTLED, "push_service_error") for status in (406, 429)),
        (None, "Operation timed out", Outcome.RETRY, "push_service_error"),
        (None, f"{NOT_SENT}: a topic is …", Outcome.FAILED, "push_service_error"),
        *((status, "", Outcome.KEY_REJECTED, "vapid_rejected") for status in (401, 403)),
        (400, '{"reason":"VapidPkHashMismatch"}', Outcome.KEY_REJECTED, "vapid_rejected"),
        (400, "<TITLE>UnauthorizedRegistration</TITLE>", Outcome.KEY_REJECTED, "vapid_rejected"),
        (400, '{"reason":"BadWebPushTopic"}', Outcome.FAILED, "push_service_error"),
        (410, '{"reason":"VapidPkHashMismatch"}', Outcome.GONE, "gone"),
        *((status, "", Outcome.FAILED, "push_service_error") for status in (301, 302, 307, 308, 405, 415, 422, 451)),
    ],
)
def test_outcomes(status: int | None, error: str | None, outcome: Outcome, reason: str | None) -> None:
    verdict = judge(PushResponse(1, status, error=error))
    assert (verdict.outcome, verdict.reason) == (outcome, reason)


@given(st.one_of(st.none(), st.integers(0, 999)))
def test_every_answer_has_an_outcome_and_only_404_and_410_cost_a_subscription(status: int | None) -> None:
    verdict = judge(PushResponse(1, status, error=""))
    assert (verdict.outcome is Outcome.GONE) == (status in (404, 410))
    assert (verdict.reason is None) == (verdict.outcome is Outcome.ACCEPTED)
    assert verdict.reason is None or verdict.reason in set(Reason)


def test_what_the_service_asked_for_is_passed_on() -> None:
    assert judge(PushResponse(1, 429, retry_after=30.0)).retry_after == 30.0
    assert judge(PushResponse(1, 503, retry_after=30.0)).retry_after == 30.0


@given(st.integers(0, 2**31), st.one_of(st.none(), st.floats(0, 1e9)), st.randoms(use_true_random=False))
def test_a_retry_is_never_early_and_never_lost(attempt: int, retry_after: float | None, rng: random.Random) -> None:
    delay = retry_delay(attempt, retry_after, rng)
    assert delay >= min(retry_after or 0.0, MAX_RETRY_AFTER)
    assert 1.0 <= delay <= max(MAX_DELAY * 1.5, MAX_RETRY_AFTER * 1.1)


@given(st.randoms(use_true_random=False))
def test_the_first_retry_comes_within_ten_seconds_and_the_next_ones_double(rng: random.Random) -> None:
    for attempt in range(1, 10):
        low, high = 1.0 * 2 ** (attempt - 1), 3.0 * 2 ** (attempt - 1)
        assert low <= retry_delay(attempt, None, rng) <= high <= 3.0 * 2**8


def test_what_failed_together_does_not_come_back_together() -> None:
    rng = random.Random(1)
    assert len({round(retry_delay(1, None, rng), 2) for _ in range(100)}) > 50
    assert len({round(retry_delay(1, 60.0, rng), 2) for _ in range(100)}) > 50


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("99999999999999999999", MAX_RETRY_AFTER),
        ("Sun, 01 Mar 2026 12:01:30 GMT", 90.0),
        ("Sunday, 01-Mar-26 12:01:30 GMT", 90.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("Mon, 01 Mar 2027 12:00:00 GMT", MAX_RETRY_AFTER),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
        ("Sun, 99 Mar 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(value: str, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.text())
def test_no_retry_after_breaks_the_reader(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0.0 <= seconds <= MAX_RETRY_AFTER


MESSAGE = {"ref": 1, "endpoint": "https://push.example/x", "body": b"", "authorization": "vapid t=a.b.c, k=d"}


def test_headers_of_a_message() -> None:
    message = PushMessage(1, "https://push.example/x", b"", "vapid t=a.b.c, k=d", 60, "high", "sale-1_A")
    assert fields(message)[:3] == (("authorization", "vapid t=a.b.c, k=d"), ("ttl", "60"), ("urgency", "high"))
    assert fields(message) is fields(replace(message, topic="another"))


@pytest.mark.parametrize(
    "change",
    [
        {"topic": ""},
        {"topic": "x" * 33},
        {"topic": "a b"},
        {"topic": "a\r\nX: y"},
        {"urgency": "urgent"},
        {"urgency": "normal\r\nX: y"},
        {"ttl": -1},
        {"ttl": 28 * 86400 + 1},
        {"authorization": "vapid t=a\r\nX: y"},
        {"authorization": ""},
    ],
)
def test_a_value_that_no_header_may_hold_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        fields(PushMessage(**{"ttl": 60, **MESSAGE, **change}))  # type: ignore[arg-type]
