"""The places in time of a campaign that is throttled: so many a minute, evenly, whatever else says when they may go."""

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from math import ceil
from typing import Final

LATE: Final = timedelta(seconds=3)
"""Six sweeps. What is later than that has missed its place; so a minute holds at most a twentieth more than it may."""
Runs = list[list[int]]


class Slots:
    """Places numbered from 1970 on, `per_minute` of them in each minute. Each is taken once.

    `runs` are those that are taken: from (inclusive) and to (exclusive), ascending and apart. There are few, since what
    may go at the same instant takes places one behind the other. They are what is stored.
    """

    def __init__(self, per_minute: int, runs: Runs) -> None:
        self.per_minute, self.runs = per_minute, [list(run) for run in runs]

    def take(self, earliest: datetime) -> datetime:
        """Take the first free place that is not before `earliest`; its instant."""
        wanted = ceil(earliest.timestamp() * self.per_minute / 60)
        at = bisect_right(self.runs, wanted, key=lambda run: run[0]) - 1
        if at < 0 or self.runs[at][1] < wanted:
            at += 1
            self.runs.insert(at, [wanted, wanted])
        place = self.runs[at][1]
        self.runs[at][1] = place + 1
        if at + 1 < len(self.runs) and self.runs[at + 1][0] == place + 1:
            self.runs[at][1] = self.runs.pop(at + 1)[1]
        return datetime.fromtimestamp(place * 60 / self.per_minute, UTC)
