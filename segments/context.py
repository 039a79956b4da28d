"""What a rule means depends on its site, the time zone and the other segments; how it is told, on a language."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, timedelta, tzinfo
from typing import Any

from segments.language import ENGLISH, Language


@dataclass(frozen=True, slots=True)
class StoredSegment:
    """Another segment of the site, as far as rules concern it."""

    id: str
    name: str
    rule: Any


@dataclass(frozen=True, slots=True)
class StoredCampaign:
    """A campaign of the site, as far as rules concern it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Kept:
    """How far back from now all events of a name are there; `told` follows its name: `are kept for 400d`."""

    length: timedelta
    told: str


def _no_segments(_id: str) -> StoredSegment | None:
    return None


def _no_campaigns(_id: str) -> StoredCampaign | None:
    return None


def _for_ever(_name: str) -> Kept | None:
    return None


@dataclass(frozen=True)
class Context:
    """The site's zone, the ways to its other segments and campaigns, and the id of the rule's own segment, if any.

    `language` is what rules are told in, and changes nothing else. `kept` says of an event's name how long its events
    are there; None: for ever.
    """

    zone: tzinfo = UTC
    segment: Callable[[str], StoredSegment | None] = field(default=_no_segments)
    own_id: str | None = None
    campaign: Callable[[str], StoredCampaign | None] = field(default=_no_campaigns)
    language: Language = ENGLISH
    kept: Callable[[str], Kept | None] = field(default=_for_ever)
