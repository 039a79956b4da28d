"""A second shop whose crowd stays as it is: what its campaigns come to can be told to the message."""

import time
from random import Random

from push_server.db import database
from tests.doubles.scripted_push import Answer, ScriptedPush
from tests.faults.verdict import judge, still_open
from tests.integration.sending import NOTIFICATION, Shop
from tests.soak.calls import Client, Faults

CROWD = 100
PATIENCE = 180.0
"""Seconds after the last kill: a lease of 30 s or a lost job of 20 s, then what was refused stands in line for up to a
minute, and so long a push service may be left alone."""


class Sender:
    """Starts campaigns; `judge` waits for their ends and says how many there were."""

    def __init__(self, url: str, push: ScriptedPush, seed: int, faults: Faults) -> None:
        self.push, self.random = push, Random(seed)
        self.shop = Shop.create(database(), push, lambda site: Client(url, site, faults))
        self.crowd = self.shop.crowd(CROWD)
        self.titles: dict[str, str] = {}  # of this round, by campaign
        self._number = 0

    def happen(self) -> None:
        """One more campaign; some of its messages are refused, or their answers are lost."""
        self._number += 1
        title = f"Campaign {self._number}"
        for token in self.random.sample(self.crowd, CROWD // 20):
            fault = self.random.choice([Answer(429, retry_after=1), Answer(503), Answer(reset=True)])
            self.push.script[token].append(fault)
        self.titles[self.shop.start({**NOTIFICATION, "title": title})] = title

    def judge(self) -> int:
        """AssertionError or TimeoutError unless each browser showed each of the round's campaigns once."""
        until = time.monotonic() + PATIENCE
        while not all(self.shop.state(campaign) == "sent" for campaign in self.titles):
            if time.monotonic() > until:
                raise TimeoutError(f"not sent after {PATIENCE:.0f} s: {still_open(self.shop, list(self.titles))}")
            time.sleep(0.5)
        for campaign, title in self.titles.items():
            judge(self.shop, campaign, title, self.crowd)
        judged, self.titles = len(self.titles), {}
        return judged
