"""What workers tell each other of a push service through Redis: breaker, rate, engagement limit, budget of retries."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from push_server import clock
from push_server.delivery import lane as lanes
from push_server.delivery.exchange import LIMITS, Report, Told, exchange, service_key
from push_server.delivery.lane import BLOCK, Lane
from push_server.embedded.valkey import EmbeddedValkey
from push_server.queue import redis_client
from push_server.servers import use
from push_server.webpush.response import Outcome, Verdict
from tests.integration.sending import lose_redis, stand

ORIGIN = "https://push.example"
CHROME = "https://fcm.googleapis.com"
ACCEPTED, FAILED, THROTTLED = (Verdict(outcome) for outcome in (Outcome.ACCEPTED, Outcome.RETRY, Outcome.THROTTLED))


@pytest.fixture(autouse=True)
def standing(valkey: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty Valkey, and a clock that only tests move."""
    monkeypatch.setenv("HOMING_REDIS_URL", valkey.url)
    use({})
    redis_client().flushall()
    stand(0)
    yield
    clock.set_source(None)
    Lane.redis_away_until = -1e9
    redis_client().close()
    use({})


def tell(origin: str = ORIGIN, site: int = 1, **report: object) -> Told:
    """An exchange of some worker."""
    return exchange(origin, site, Report(**report), clock.now())  # type: ignore[arg-type]


def test_without_trouble_there_is_no_limit() -> None:
    told = tell(wanted=100, wanted_retries=20)
    assert (told.state, told.granted, told.retries, told.limited) == ("closed", 100, 20, False)
    for _ in range(50):
        assert tell(accepted=100, posted=100, fresh=100, wanted=100).granted == 100


def test_the_breaker_opens_for_all_and_lets_one_probe_through() -> None:
    tell(failed=19)
    assert tell(wanted=10).granted == 10
    tell(failed=1)
    refused = tell(site=2, wanted=10)  # another shop's worker
    assert (refused.state, refused.granted) == ("open", 0)
    assert refused.from_ >= clock.now().timestamp() + LIMITS["first_open"] - 0.001
    stand(LIMITS["first_open"])
    probe, other = tell(wanted=10), tell(wanted=10)
    assert (probe.state, probe.probe, probe.granted) == ("half_open", True, 1)
    assert (other.probe, other.granted) == (False, 0)
    tell(failed=1, probe="failed")
    stand(LIMITS["first_open"] + 1)
    assert tell(wanted=10).state == "open"  # for twice as long
    stand(LIMITS["first_open"])
    assert tell(wanted=10).probe
    stand(LIMITS["probe_for"] - 1)
    assert not tell(wanted=10).probe
    stand(1)
    assert tell(wanted=10).probe  # the other worker died with it
    tell(accepted=1, probe="passed")
    assert tell(wanted=10).granted == 10


def test_a_push_service_that_answers_half_of_us_is_open_too() -> None:
    for _ in range(5):
        tell(accepted=10, failed=9)
    assert tell(wanted=1).state == "closed"
    tell(failed=20, accepted=1)
    assert tell(wanted=1).state == "open"


def test_any_answer_but_a_5xx_shows_that_it_lives() -> None:
    for answer in ("accepted", "throttled", "refused"):
        tell(failed=19)
        tell(**{answer: 1})
        assert tell(wanted=1).granted == 1
        stand(LIMITS["window"] + 1)


@pytest.mark.parametrize(("asked", "kept"), [(40, 40), (86400, LIMITS["longest_hold"])])
def test_what_a_503_asks_for_holds_up_all_but_not_for_ever(asked: float, kept: float) -> None:
    tell(failed=1, busy=1, hold_service=asked)
    assert tell(site=2, wanted=1).granted == 0
    stand(kept - 1)
    assert tell(site=2, wanted=1).granted == 0
    stand(1)
    assert tell(site=2, wanted=1).granted == 1


def test_a_clock_that_is_set_back_prolongs_nothing() -> None:
    tell(failed=20)
    assert tell(wanted=10).state == "open"
    stand(-3600)
    assert tell(wanted=10).probe
    tell(accepted=1, probe="passed")
    tell(posted=1000, throttled=1000, hold_lane=300)
    assert tell(wanted=10).granted == 0
    stand(-3600)
    tell()
    stand(1)
    assert tell(wanted=10).granted == 10  # of the rate that the refusals left


def test_a_single_refusal_concerns_a_subscription_and_not_the_site() -> None:
    tell(accepted=3, throttled=4, posted=7, hold_lane=60)
    told = tell(wanted=10)
    assert (told.granted, told.limited) == (10, False)


def test_refusals_halve_the_rate_once_a_second_and_it_comes_back_by_steps() -> None:
    tell(posted=1000, accepted=1000)
    stand(5)
    assert tell(posted=1000, accepted=800, throttled=200).rate == 200  # of 2,000 in five seconds
    assert tell(posted=10, throttled=10).rate == 200
    stand(1)
    assert tell(posted=200, throttled=200).rate == 100
    rates = []
    for _ in range(3):
        stand(1)
        rates.append(tell(posted=100, accepted=100).rate)
    assert rates == [108, 116, 124]
    stand(200)
    assert not tell(wanted=1).limited
    assert tell(site=2, wanted=1000).granted == 1000  # another shop was never limited


def test_two_workers_share_the_rate() -> None:
    tell(posted=200, accepted=100, throttled=100)
    workers = [Lane(ORIGIN, 1), Lane(ORIGIN, 1)]
    passed, turned = [0, 0], []
    for turn in range(40):
        stand(0.25)
        for number in (turn % 2, 1 - turn % 2):
            for ref in range(40):
                again_at = workers[number].take(ref, retry=False)
                passed[number] += again_at is None
                turned += [again_at - clock.now()] if again_at else []
            workers[number].rest()
    assert 1000 <= sum(passed) <= 1600  # ten seconds at 100, rising by 8 a second, where 3,200 were asked for
    assert min(passed) > 400
    assert max(turned) <= timedelta(seconds=LIMITS["line"] + 1)


def test_what_waits_stands_in_line() -> None:
    tell(posted=100, throttled=100)
    own = Lane(ORIGIN, 1)
    waits = [own.take(ref, retry=False) for ref in range(BLOCK)]
    places = [(at - clock.now()).total_seconds() for at in waits if at is not None]
    assert len(places) >= 50
    assert places == sorted(places)
    assert places[-1] == pytest.approx(len(places) / 50, rel=0.1)
    behind = Lane(ORIGIN, 1).take(1, retry=False)
    assert behind is not None
    assert (behind - clock.now()).total_seconds() >= places[-1] - 0.1  # nobody gets a place that is another's


def test_what_was_leased_and_not_used_goes_back() -> None:
    tell(posted=100, throttled=100)
    stand(1)
    first, second = Lane(ORIGIN, 1), Lane(ORIGIN, 1)
    assert first.take(1, retry=False) is None
    assert second.take(1, retry=False) is not None
    first.rest()
    second.rest()
    assert second.take(1, retry=False) is None


def test_many_refusals_with_a_time_hold_up_the_lane_of_that_site() -> None:
    tell(posted=10, throttled=10, hold_lane=40)
    stand(39)
    assert tell(wanted=1).granted == 0
    assert tell(site=2, wanted=1).granted == 1
    stand(1)
    assert tell(wanted=1).granted == 1


def test_chromes_limit_is_a_state_of_its_own_for_a_day() -> None:
    tell(CHROME, posted=1100, accepted=1000, throttled=300)
    limited = tell(CHROME, wanted=100)
    assert (limited.engagement, limited.rate) == (True, LIMITS["engagement_rate"])
    stand(3600)
    assert tell(CHROME, wanted=100).rate == LIMITS["engagement_rate"]
    assert not tell(CHROME, site=2, wanted=100).engagement
    stand(LIMITS["engagement_for"])
    assert not tell(CHROME, wanted=100).engagement


@pytest.mark.parametrize(("origin", "accepted"), [(ORIGIN, 1000), (CHROME, 2100)])
def test_other_refusals_are_no_engagement_limit(origin: str, accepted: int) -> None:
    tell(origin, posted=2500, accepted=accepted, throttled=400)
    told = tell(origin, wanted=100)
    assert told.limited
    assert not told.engagement


def test_retries_that_fail_are_a_fifth_of_what_is_fresh() -> None:
    redis_client().hset(service_key(ORIGIN), mapping={"budget_at": clock.now().timestamp()})
    assert tell(wanted=100, wanted_retries=100).retries == 0
    tell(posted=100, fresh=100, accepted=100)
    assert tell(wanted=100, wanted_retries=100).retries == 20
    assert tell(accepted=15, repaid=15, wanted=100, wanted_retries=100).retries == 15
    stand(1)
    assert tell(wanted=100, wanted_retries=100).retries == LIMITS["retry_rate"]


def test_a_retry_beyond_the_budget_waits_and_a_fresh_message_does_not() -> None:
    redis_client().hset(service_key(ORIGIN), mapping={"budget_at": clock.now().timestamp()})
    own = Lane(ORIGIN, 1)
    again_at = own.take(1, retry=True)
    assert again_at is not None
    assert 1 <= (again_at - clock.now()).total_seconds() <= 3
    assert own.take(2, retry=False) is None


def test_an_emptied_redis_begins_from_no_limit() -> None:
    tell(posted=100, throttled=100)
    tell(failed=20)
    lose_redis()
    assert tell(wanted=100).granted == 100


def test_without_redis_there_are_no_limits_and_nobody_waits(
    scratch: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HOMING_REDIS_URL", f"unix://{scratch}/nobody.sock")
    use({})
    own = Lane(ORIGIN, 1)
    assert [own.take(ref, retry=True) for ref in range(3 * BLOCK)] == [None] * 3 * BLOCK
    own.note(1, ACCEPTED, 201, 0.1, retry=True)
    own.rest()
    assert len(caplog.records) == 1


def test_a_worker_tells_of_failures_while_it_posts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "FRESH_FOR", 0)
    own = Lane(ORIGIN, 1)
    for ref in range(20):
        assert own.take(ref, retry=False) is None
    for ref in range(20):
        own.note(ref, FAILED, 503, 0.1, retry=False)
    assert own.take(21, retry=False) is not None
    stand(LIMITS["first_open"])
    assert own.take(22, retry=False) is None
    own.note(22, ACCEPTED, 201, 0.1, retry=False)
    assert Lane(ORIGIN, 2).take(1, retry=False) is None
