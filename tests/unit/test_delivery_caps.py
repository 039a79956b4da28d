"""Who may go, by itself: no window ever holds more than it may, and the more important goes first."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from push_server.delivery.caps import LAST_LOOK, LONGEST_WAIT, WAIT, Other, Place, awaited, look_again_at, place
from push_server.delivery.models import Dispatch
from push_server.sites.caps import Cap

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
CLASSES = ["marketing", "news"]
CAPS = st.lists(
    st.builds(Cap, st.integers(1, 3), st.sampled_from([HOUR, 5 * HOUR]), st.sampled_from([None, *CLASSES])),
    min_size=1,
    max_size=3,
)
MESSAGES = st.lists(
    st.tuples(st.sampled_from(CLASSES), st.sampled_from([100, 500, 900]), st.integers(0, 240)), min_size=1, max_size=14
)


def message(number: int, message_class: str, priority: int) -> Dispatch:
    return Dispatch(
        id=number,
        campaign_id=number,
        include=[],
        message={},
        expires_at=NOW,
        message_class=message_class,
        priority=priority,
    )


def run(caps: list[Cap], messages: list[tuple[str, int, int]]) -> tuple[dict[int, datetime], dict[int, datetime]]:
    """When each message went or was ended, where all come at minutes of their own and those that wait look again.

    A message is known to the others from when it comes.
    """
    sent, ended = dict[int, datetime](), dict[int, datetime]()
    for minute in range(600):
        now = NOW + timedelta(minutes=minute)
        here = [number for number, (_, _, at) in enumerate(messages) if at <= minute]
        for number in here:
            if number in sent or number in ended:
                continue
            others = [
                Other(1, other, messages[other][0], messages[other][1], sent.get(other), other not in sent, now)
                for other in here
                if other != number and other not in ended
            ]
            found = place(caps, message(number, *messages[number][:2]), others, now)
            if found is Place.FREE:
                sent[number] = now
            elif found is Place.TAKEN:
                ended[number] = now
    return sent, ended


@given(CAPS, MESSAGES)
def test_no_window_holds_more_than_it_may_and_nobody_waits_for_ever(
    caps: list[Cap], messages: list[tuple[str, int, int]]
) -> None:
    sent, ended = run(caps, messages)
    assert sent.keys() | ended.keys() == set(range(len(messages)))
    for cap in caps:
        times = sorted(at for number, at in sent.items() if cap.concerns(messages[number][0]))
        assert all(beyond - first >= cap.within for first, beyond in zip(times, times[cap.limit :], strict=False))


@given(CAPS, MESSAGES)
def test_none_goes_while_a_more_important_one_that_is_there_will_be_refused(
    caps: list[Cap], messages: list[tuple[str, int, int]]
) -> None:
    sent, ended = run(caps, messages)
    for lost, at in ended.items():
        name, priority, came = messages[lost]
        for other, went in sent.items():
            same = all(cap.concerns(messages[other][0]) == cap.concerns(name) for cap in caps)
            if same and messages[other][1] < priority:
                assert not NOW + timedelta(minutes=came) <= went < at


def test_of_equal_ones_the_earlier_goes_first() -> None:
    caps = [Cap(1, HOUR, None)]
    waiting = [Other(1, 3, "marketing", 500, None, True, NOW)]
    assert place(caps, message(4, "marketing", 500), waiting, NOW) is Place.AWAITED
    assert place(caps, message(2, "marketing", 500), waiting, NOW) is Place.FREE


def test_what_is_under_way_has_its_place_and_a_window_ends_sharp() -> None:
    caps = [Cap(1, HOUR, None)]
    mine = message(9, "marketing", 500)
    assert place(caps, mine, [Other(1, 3, "marketing", None, None, False, NOW)], NOW) is Place.TAKEN
    for ago, found in ((HOUR - timedelta(seconds=1), Place.TAKEN), (HOUR, Place.FREE)):
        assert place(caps, mine, [Other(1, 3, "marketing", 1, NOW - ago, False, None)], NOW) is found


def test_what_no_cap_limits_is_counted_but_not_waited_for() -> None:
    caps = [Cap(1, HOUR, None)]
    assert place(caps, message(9, "marketing", 5), [Other(1, 3, "marketing", None, None, True, NOW)], NOW) is Place.FREE
    assert (
        place(caps, message(9, "marketing", 5), [Other(1, 3, "transactional", None, NOW, False, NOW)], NOW)
        is Place.FREE
    )


def test_what_another_cap_counts_is_not_waited_for() -> None:
    caps = [Cap(1, HOUR, "marketing"), Cap(9, HOUR, None)]
    mine, news = message(9, "marketing", 5), Other(1, 3, "news", 900, None, True, NOW)
    assert awaited(caps, mine, [news], NOW) == []
    more = Other(1, 4, "marketing", 900, None, True, NOW)
    assert awaited(caps, mine, [news, more, Other(1, 5, "marketing", 1, None, True, NOW)], NOW) == [more]


def test_a_wait_is_until_the_first_goes_but_neither_too_short_nor_too_long() -> None:
    def wait(*due: float, life: float = 24 * 60) -> float:
        ahead = [Other(1, 3, "marketing", 900, None, True, NOW + timedelta(minutes=each)) for each in due]
        return (look_again_at(ahead, NOW + timedelta(minutes=life), NOW) - NOW).total_seconds()

    assert wait(14, 5) == 5 * 60
    assert wait(-3) == WAIT.total_seconds()
    assert wait(600) == LONGEST_WAIT.total_seconds()
    assert wait(14, life=2) == 120 - LAST_LOOK.total_seconds()
