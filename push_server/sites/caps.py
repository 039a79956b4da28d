"""A site's frequency caps: how many messages a customer gets in a while, at most."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from push_server.fields import Body
from push_server.sites.models import Site
from segments.moments import read_duration

SETTING: Final = "caps"
TRANSACTIONAL: Final = "transactional"
"""The class of messages that a customer waits for, as of his parcel: neither caps nor quiet hours concern them."""
MARKETING: Final = "marketing"
LONGEST: Final = timedelta(days=366)
"""Deliveries are looked up so far back for each customer, so it has an end."""
MessageClass = Annotated[str, StringConstraints(strict=True, pattern=r"^[a-z][a-z0-9_-]{0,39}$")]


def _within(written: str) -> str:
    read = read_duration(written)
    if read is None or not timedelta(minutes=1) <= read.length <= LONGEST:
        raise PydanticCustomError("duration", "must be a duration such as 24h or 7d, from 1m to 366d")
    return written


def _limited(name: str | None) -> str | None:
    if name == TRANSACTIONAL:
        raise PydanticCustomError("transactional", "transactional messages pass all caps; name another class")
    return name


class CapIn(Body):
    """At most `limit` messages within the duration, of one class or, without one, of all but transactional ones."""

    limit: int = Field(ge=1, le=1000)
    within: Annotated[str, StringConstraints(strict=True, max_length=20), AfterValidator(_within)] = Field(
        description="a rolling window", examples=["7d"]
    )
    message_class: Annotated[MessageClass | None, AfterValidator(_limited)] = None


@dataclass(frozen=True, slots=True)
class Cap:
    """A cap in force."""

    limit: int
    within: timedelta
    message_class: str | None

    def concerns(self, message_class: str) -> bool:
        """Whether messages of this class are counted by it, and limited."""
        return message_class == self.message_class or (self.message_class is None and message_class != TRANSACTIONAL)


def caps_of(site: Site) -> list[Cap]:
    """The site's caps; none at first."""
    stored: Any = site.settings.get(SETTING)
    return [Cap(each["limit"], _length(each["within"]), each["message_class"]) for each in stored or []]


def _length(written: str) -> timedelta:
    read = read_duration(written)
    assert read is not None
    return read.length
