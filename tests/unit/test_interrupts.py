"""A signal's interruption arrives, also where Python drops what a handler raises."""

import signal
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from push_server.interrupts import interrupts

LONG = 60.0


@contextmanager
def soon() -> Iterator[None]:
    """It ended a wait, rather than waited for its end."""
    began = time.monotonic()
    yield
    assert time.monotonic() - began < LONG


class Dying:
    """Its end sends this process a signal."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        signal.raise_signal(self.number)


@pytest.fixture(autouse=True)
def _without_nohup() -> Iterator[None]:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_interrupts_and_further_ones_are_told(number: signal.Signals) -> None:
    told = list[int]()
    with interrupts(again=lambda: told.append(1)) as interrupt:
        assert not interrupt.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert interrupt.asked
        signal.raise_signal(number)
    assert told == [1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_that_comes_while_an_object_is_deleted_is_not_lost(number: signal.Signals) -> None:
    told = list[int]()
    with interrupts(again=lambda: told.append(1)) as interrupt:
        with soon(), pytest.raises(KeyboardInterrupt):  # noqa: PT012
            Dying(number)
            threading.Event().wait(LONG)
        assert interrupt.asked
    assert told == []


def test_one_that_comes_in_a_weak_references_callback_is_not_lost() -> None:
    class Thing:
        pass

    thing = Thing()
    watch = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGTERM))
    with interrupts(), soon(), pytest.raises(KeyboardInterrupt):  # noqa: PT012
        del thing
        threading.Event().wait(LONG)
    assert watch() is None


def test_what_was_there_before_is_there_again() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    with interrupts(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


def test_a_hangup_that_is_ignored_stays_so() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with interrupts() as interrupt:
        signal.raise_signal(signal.SIGHUP)
    assert not interrupt.asked
