"""`python -m bench.segments_border`: what an order costs segments whose rules depend on everyone.

All members found over everyone, as there is no other way without a stored border; a step that finds the border again,
and judges those it passes over; and a step while the border rests. CPU time of this process and of its PostgreSQL
session, in turns, means. All is rolled back.
"""

import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from unittest.mock import patch

import numpy as np
import typer
from rich.console import Console

from bench.segments_data import NOW
from bench.segments_home import Kept, kept_shop
from bench.segments_load import customer_ids
from bench.segments_rules import ORDERED
from push_server import clock
from push_server.audiences import whole
from push_server.audiences.service import create_segment
from push_server.audiences.step import step
from push_server.customers.changes import Kind, note
from push_server.db import SiteSession

RULES: dict[str, Any] = {
    "rank": {"rank": {"by": {**ORDERED, "sum": "revenue", "within": "365d"}, "top_percent": 20}},
    "rfm": {"rfm": {"recency": {"gte": 4}, "frequency": {"gte": 3}, "monetary": {"gte": 3}}},
}
COUNTRIES = ("HU", "DE", "AT", "NO", "SE")
_TICKS = 100  # to a second, as the kernel counts a process's time


def run(
    scale: Annotated[float, typer.Option(min=0.0001, max=5)] = 0.1,
    rounds: Annotated[int, typer.Option(min=1)] = 20,
    data: Annotated[Path | None, typer.Option()] = None,
) -> None:
    """Print CPU milliseconds by rule and way."""
    console = Console()
    with kept_shop(data, scale, console) as kept:
        for name, rule in RULES.items():
            for many in (1, 5):
                found = _Turns(kept).run(name, [_among(rule, country) for country in COUNTRIES[:many]], rounds)
                console.print(f"{kept.customers:,} customers, {many} × {name}, CPU ms:", found)


def _among(rule: Any, country: str) -> Any:
    return {"all": [rule, {"attribute": "country", "ne": country}]}


class _Turns:
    """One session, whose clock goes on with every order."""

    def __init__(self, kept: Kept) -> None:
        self.kept, self.now, self.chance = kept, NOW, np.random.default_rng(3)
        clock.set_source(lambda: self.now)

    def run(self, name: str, rules: list[Any], rounds: int) -> dict[str, float]:
        """The means of each way."""
        ms: dict[str, list[float]] = {"whole": [], "border": [], "resting": []}
        with self.kept.database.session(site_id=self.kept.site_id) as session:
            segments = [create_segment(session, name, {"version": 1, "where": rule}) for rule in rules]
            assert all(segment.state == "ready" for segment in segments)
            # What is rolled back here is remembered by the number of edits, so none comes twice.
            session.raw.execute("update site_refresh set edits = edits + %s", [time.monotonic_ns()])

            def find_all() -> None:
                with patch.object(whole, "borders_for", lambda *_: {}):
                    for segment in segments:
                        whole.evaluate(session, segment, self.now)

            for _ in range(rounds):
                self.order(session, timedelta(seconds=20))
                ms["border"].append(self.cpu(session, lambda: step(session)))
                self.order(session, timedelta(seconds=0.2))
                ms["resting"].append(self.cpu(session, lambda: step(session)))
                self.order(session, timedelta(seconds=0.2))
                ms["whole"].append(self.cpu(session, find_all))
            session.rollback()
        return {way: round(statistics.mean(each), 1) for way, each in ms.items()}

    def order(self, session: SiteSession, later: timedelta) -> None:
        """Somebody orders, so much later, for 5 to 300."""
        self.now += later
        customer = int(customer_ids(self.chance.integers(0, self.kept.customers, 1))[0])
        session.raw.execute(
            "insert into order_value (order_ref, site_id, customer_id, ts, since, value, seq)"
            " select order_ref, site_id, %s, %s, %s, %s, seq from order_value limit 1",
            [customer, self.now, self.now, int(self.chance.integers(5, 300)) * 1_000_000],
        )
        note(session.raw, self.kept.site_id, [(customer, Kind.ORDERS)])

    def cpu(self, session: SiteSession, work: Callable[[], None]) -> float:
        """Milliseconds, PostgreSQL's in steps of ten."""
        before = time.process_time() + self._server(session)
        work()
        return (time.process_time() + self._server(session) - before) * 1000

    @staticmethod
    def _server(session: SiteSession) -> float:
        fields = Path(f"/proc/{session.raw.info.backend_pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS


if __name__ == "__main__":
    typer.run(run)
