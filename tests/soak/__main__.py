"""Kills the scheduler, the API, the workers, PostgreSQL and Valkey at random moments while a shop is at work.

    make soak ARGS="--minutes 30 --seed 7"

Every round ends with a verdict: nobody is killed any more, all must catch up by itself; then each browser must have
shown each campaign once, and the members are compared with a full evaluation. It ends at the first difference, with
exit status 1, and the home is kept to look at.
"""

import argparse
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from push_server.db import database
from push_server.embedded.home import Home
from push_server.sites.service import create_site
from push_server.stack import Stack
from tests.doubles.scripted_push import ScriptedPush
from tests.integration.test_refresh_crashes import REFRESHERS
from tests.soak.calls import Caller, Client, Faults
from tests.soak.sending import CROWD, Sender
from tests.soak.traffic import Browsers, Happenings, Marketer
from tests.soak.verdict import alone, caught_up, judge

RESTS = {"scheduler": 3, "api": 12, "worker-1": 8, "worker-2": 8, "postgres": 15, "a backend": 15, "valkey": 15}
"""Seconds that a process is left alone after a kill, so that it runs at all: quick deaths make the supervisor pause.
Beside them a refresher that does nothing else is killed some hundred times a minute."""
CUSTOMERS = 3  # threads


class Soak:
    """One stack, its shop, and who kills."""

    def __init__(self, stack: Stack, push: ScriptedPush, seed: int) -> None:
        self.stack, self.push, self.random, self.faults = stack, push, random.Random(seed), Faults()
        with database().session() as session:
            self.site = create_site(session, "Soaked", ["https://shop.example"])
            self.site_id = session.site_id
        browsers = Browsers(push, self.site.vapid_public_key)
        self.happenings = [Happenings(self._caller(), seed * 100 + n, push, browsers) for n in range(1, CUSTOMERS + 1)]
        self.marketer = Marketer(self._caller(), seed, push)
        self.sender = Sender(stack.url, push, seed, self.faults)

    def _caller(self) -> Caller:
        return Caller(Client(self.stack.url, self.site, self.faults))

    def round(self, seconds: float) -> None:
        """So long all happens at once; then the verdict."""
        until = time.monotonic() + seconds
        loops = [(each.happen, 0.02) for each in self.happenings] + [
            (self.marketer.happen, 1.0),
            (self.sender.happen, 5.0),
        ]
        threads = [threading.Thread(target=self._repeat, args=(*loop, until)) for loop in loops]
        for thread in threads:
            thread.start()
        killing = threading.Thread(target=self._kill_refreshers, args=(until,))
        killing.start()
        self._kill(until)
        for thread in (*threads, killing):
            thread.join()
        assert not self.faults.found, "\n".join(self.faults.found[:5])
        took = caught_up(database(), self.site_id)
        sent = self.sender.judge()
        stored = [id for each in self.happenings for id in each.stored]
        os.kill(self.stack.supervisor.pids()["scheduler"], signal.SIGKILL)
        with alone(database()):
            found = judge(database(), self.site_id, stored)
        told = ", ".join(f"{many} {what}" for what, many in found.items())
        told += f"; {len(stored)} acknowledged messages; {sent} campaigns shown once by each of {CROWD}"
        print(f"  right: caught up in {took:.1f} s; {told}", flush=True)

    def _repeat(self, happen: Callable[[], None], pause: float, until: float) -> None:
        try:
            while time.monotonic() < until:
                happen()
                time.sleep(pause)
        except Exception:
            self.faults.add(traceback.format_exc())

    def _kill(self, until: float) -> None:
        rests = dict.fromkeys(RESTS, 0.0)
        while time.monotonic() < until and not self.faults.found:
            time.sleep(self.random.expovariate(1))
            name = self.random.choice([name for name, rest in rests.items() if rest < time.monotonic()] or ["nobody"])
            pid = self._pid(name)
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                self.faults.count(f"killed {name}")
                rests[name] = time.monotonic() + RESTS[name]

    def _pid(self, name: str) -> int | None:
        pids = self.stack.supervisor.pids()
        if name != "a backend" or "postgres" not in pids:
            return pids.get(name)
        with suppress(OSError):
            postgres = pids["postgres"]
            backends = Path(f"/proc/{postgres}/task/{postgres}/children").read_text().split()
            return int(self.random.choice(backends)) if backends else None
        return None

    def _kill_refreshers(self, until: float) -> None:
        chance, command = random.Random(self.random.random()), [sys.executable, "-c", REFRESHERS]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
            assert parent.stdout is not None
            while time.monotonic() < until:
                refresher = int(parent.stdout.readline())
                time.sleep(chance.uniform(0, 0.4))
                with suppress(ProcessLookupError):  # it ended by itself, as without a database
                    os.kill(refresher, signal.SIGKILL)
                    self.faults.count("killed refreshers")
            parent.kill()


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(
        prog="make soak", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000))
    parser.add_argument("--round", type=float, default=60, help="seconds of killing between two verdicts")
    asked = parser.parse_args()
    directory = Path(tempfile.mkdtemp(prefix="homing-soak-"))
    directory.chmod(0o711)  # PostgreSQL is another user under root
    logging.getLogger("push_server.supervisor").setLevel(logging.CRITICAL)  # whose deaths are no news here
    print(f"seed {asked.seed}, {asked.minutes:g} minutes, in {directory}", flush=True)
    with ScriptedPush() as push:
        stack = Stack(Home(directory), port=0, variables={"HOMING_PUSH_HOSTS": push.origin}, quiet=True)
        with stack:
            soak, until, number = Soak(stack, push, asked.seed), time.monotonic() + asked.minutes * 60, 0
            try:
                while time.monotonic() < until:
                    number += 1
                    print(f"round {number}", flush=True)
                    soak.round(asked.round)
            except (AssertionError, TimeoutError) as error:
                print(f"WRONG in round {number} of seed {asked.seed}: {error}\nThe home is kept: {directory}")
                sys.exit(1)
            finally:
                database().engine.dispose()
                print("; ".join(f"{what}: {many}" for what, many in sorted(soak.faults.counted.items())), flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    print("Right in every round.")


if __name__ == "__main__":
    main()
