"""A campaign's `experiment`: how its best variant is to be found before most of the audience gets it."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from push_server.delivery import message
from push_server.fields import Body
from segments.moments import read_duration

SHORTEST, LONGEST = timedelta(minutes=10), timedelta(days=7)


def _within(written: str) -> str:
    read = read_duration(written)
    if read is None or not SHORTEST <= read.length <= LONGEST:
        raise PydanticCustomError("duration", "must be a duration such as 4h, from 10m to 7d")
    return written


class Experiment(Body):
    """So many percent of the audience try all variants; the rest gets the one that did best."""

    metric: Literal["clicked", "converted"] = Field(default="clicked", description="what a variant is better by")
    test_percent: float = Field(default=20, gt=0, lt=100, allow_inf_nan=False)
    confidence: float = Field(default=0.95, ge=0.5, le=0.9999, allow_inf_nan=False)
    decide_within: Annotated[str, StringConstraints(strict=True, max_length=20), AfterValidator(_within)] = Field(
        default="4h", description="after that the leading variant is taken, certain or not"
    )


def as_sent(stored: dict[str, float | str] | None) -> message.Experiment | None:
    """What the sender needs of a stored one."""
    if stored is None:
        return None
    read = read_duration(str(stored["decide_within"]))
    assert read is not None
    return {
        "metric": str(stored["metric"]),
        "percent": float(stored["test_percent"]),
        "confidence": float(stored["confidence"]),
        "seconds": read.length.total_seconds(),
    }
