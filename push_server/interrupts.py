"""SIGINT, SIGTERM and SIGHUP as one interruption that cannot get lost.

    with interrupts(again=hurry) as interrupt:
        work()              # the first signal raises KeyboardInterrupt in it, each further one calls `again`
    interrupt.asked         # whether there was one

What is there to handle these signals otherwise is put aside meanwhile.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
PAUSE = 0.05


@dataclass(slots=True)
class Interrupt:
    """Whether somebody asked this process to end."""

    asked: bool = False


@contextmanager
def interrupts(again: Callable[[], None] = lambda: None) -> Iterator[Interrupt]:
    """While it is entered, the first signal raises KeyboardInterrupt in the main thread; further ones call `again`.

    What a handler raises while `__del__` or a weak reference's callback runs, Python reports and drops (imports are
    full of them). It is raised anew then, `PAUSE` seconds later. A SIGHUP that is ignored (nohup) stays so.
    """
    interrupt = Interrupt()
    dropped = False
    main = threading.get_ident()

    def handle(*_: object) -> None:
        nonlocal dropped
        if interrupt.asked and not dropped:
            return again()
        interrupt.asked, dropped = True, False
        raise KeyboardInterrupt

    def report(unraisable: "sys.UnraisableHookArgs") -> None:
        nonlocal dropped
        if interrupt.asked and issubclass(unraisable.exc_type, KeyboardInterrupt):
            dropped = True
            # sent from here it would end in the same callback; and it has to end the wait that the thread may be in
            threading.Timer(PAUSE, signal.pthread_kill, (main, signal.SIGINT)).start()
        else:
            hook(unraisable)

    hook, sys.unraisablehook = sys.unraisablehook, report
    before = {number: signal.signal(number, handle) for number in SIGNALS if not _ignored(number)}
    try:
        yield interrupt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def _ignored(number: int) -> bool:
    return number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN
