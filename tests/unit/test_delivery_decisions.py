"""What becomes of a delivery, decided without a network or a database."""

import itertools
import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from push_server.delivery.assignment import is_held_out, variant_of
from push_server.delivery.message import Composer, Message, fill_in
from push_server.delivery.models import DeliveryState, Reason
from push_server.delivery.prepare import remaining_ttl
from push_server.delivery.settle import MAX_ATTEMPTS, Settlement, decide
from push_server.webpush.response import Outcome, Verdict

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
RETRY = Verdict(Outcome.RETRY, "push_service_error")


def decided(verdict: Verdict, retries: int = 0, life: float = 86400, seed: int = 1) -> Settlement:
    return decide(
        7,
        70,
        1,
        retries,
        verdict,
        500,
        now=NOW,
        expires_at=NOW + timedelta(seconds=life),
        rng=random.Random(seed),
    )


@pytest.mark.parametrize(
    ("outcome", "state", "reason", "retired"),
    [
        (Outcome.ACCEPTED, DeliveryState.ACCEPTED, None, None),
        (Outcome.GONE, DeliveryState.FAILED, Reason.GONE, 70),
        (Outcome.TOO_LARGE, DeliveryState.FAILED, Reason.TOO_LARGE, None),
        (Outcome.KEY_REJECTED, DeliveryState.FAILED, Reason.VAPID_REJECTED, None),
        (Outcome.FAILED, DeliveryState.FAILED, Reason.PUSH_SERVICE_ERROR, None),
        (Outcome.RETRY, DeliveryState.RETRY, None, None),
    ],
)
def test_every_outcome_has_its_end(
    outcome: Outcome, state: DeliveryState, reason: Reason | None, retired: int | None
) -> None:
    settled = decided(Verdict(outcome))
    assert (settled.state, settled.reason, settled.retire) == (state, reason, retired)
    assert settled.state.terminal is (settled.due_at is None)


def test_retries_begin_within_ten_seconds_and_double() -> None:
    waits = []
    for retries in range(7):
        several = [decided(RETRY, retries, seed=seed).due_at for seed in range(200)]
        waits.append([(due - NOW).total_seconds() for due in several if due is not None])
    assert all(1 <= wait <= 10 for wait in waits[0])
    assert len({round(wait, 3) for wait in waits[0]}) > 100  # what failed together does not come back together
    means = [sum(some) / len(some) for some in waits]
    assert all(1.7 < later / sooner < 2.3 for sooner, later in itertools.pairwise(means))


def test_retry_after_is_a_lower_bound() -> None:
    settled = decided(Verdict(Outcome.RETRY, None, retry_after=120))
    assert settled.due_at is not None
    assert settled.due_at >= NOW + timedelta(seconds=120)


def test_a_retry_that_would_come_too_late_is_the_end() -> None:
    settled = decided(Verdict(Outcome.RETRY, None, retry_after=120), life=100)
    assert (settled.state, settled.reason, settled.due_at) == (DeliveryState.EXPIRED, Reason.TOO_LATE, None)


def test_tries_are_numbered() -> None:
    settled = decided(RETRY, MAX_ATTEMPTS - 1)
    assert (settled.state, settled.reason) == (DeliveryState.FAILED, Reason.PUSH_SERVICE_ERROR)


@pytest.mark.parametrize(("ttl", "life", "header"), [(600, 600, 600), (600, 20.5, 21), (0, 60, 0), (60, -1, 0)])
def test_the_ttl_header_is_what_is_left(ttl: int, life: float, header: int) -> None:
    assert remaining_ttl(ttl, NOW + timedelta(seconds=life), NOW) == header


def test_shares_are_stable_and_fair() -> None:
    variants = [variant_of(3, customer, [3, 1]) for customer in range(4000)]
    assert variants == [variant_of(3, customer, [3, 1]) for customer in range(4000)]
    assert 0.72 < variants.count(0) / 4000 < 0.78
    assert variants != [variant_of(4, customer, [3, 1]) for customer in range(4000)]
    held = [is_held_out(3, customer, 10) for customer in range(4000)]
    assert 320 < sum(held) < 480
    assert 0.70 < sum(variant == 0 for variant, out in zip(variants, held, strict=True) if out) / sum(held) < 0.80
    assert not any(is_held_out(3, customer, 0) for customer in range(100))
    assert all(is_held_out(3, customer, 100) for customer in range(100))


def test_a_text_made_once_is_the_text_made_anew() -> None:
    plain = {
        "title": 'Quote " back \\ "\\u0000token" 🐕',
        "url": "https://shop.example/a?b=c",
        "icon": "https://shop.example/i.png",
        "actions": [{"action": "a", "title": "A", "url": "https://shop.example/a"}],
        "silent": False,
        "data": {"k": ["\\u0000name", 1, None]},
    }
    once, faults = Composer(plain, "https://api.example").compose({}, "TOKEN", "NAME")
    forced = {**plain, "title": plain["title"] + "{{ '' }}"}
    anew, _ = Composer(forced, "https://api.example").compose({}, "TOKEN", "NAME")
    assert faults == []
    assert json.loads(once) == json.loads(anew)
    shown = json.loads(once)["notification"]
    assert shown["tag"] == "NAME"
    assert shown["data"]["homing"] == {"delivery": "TOKEN", "api": "https://api.example"}


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "/relative", "https://", "https://a b", "https://me@evil.example/"]
)
def test_a_link_that_renders_to_nonsense_is_a_fault(link: str) -> None:
    notification = {"title": "T", "url": "{{ customer.link }}", "actions": []}
    _, faults = fill_in(notification, {"customer": {"link": link}})
    assert [fault.path for fault in faults] == ["$.url"]


def test_a_title_that_renders_to_nothing_is_a_fault() -> None:
    notification = {"title": "{{ customer.name | default: ' ' }}", "url": "https://shop.example/"}
    _, faults = fill_in(notification, {"customer": {}})
    assert [fault.path for fault in faults] == ["$.title"]


def test_a_button_whose_title_renders_to_nothing_is_a_fault() -> None:
    button = {"action": "buy", "title": "{{ customer.name | default: '' }}", "url": "https://shop.example/"}
    notification = {"title": "T", "url": "https://shop.example/", "actions": [{**button, "title": "Buy"}, button]}
    _, faults = fill_in(notification, {"customer": {}})
    assert [fault.path for fault in faults] == ["$.actions[1].title"]


def test_a_message_survives_its_storage() -> None:
    message = Message([{"title": "T"}], [1], 60, in_stock=["p"], customer_ids=[1], variant=0)
    assert Message(**json.loads(json.dumps(message.as_document()))) == message
