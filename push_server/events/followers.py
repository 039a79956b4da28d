"""Events that mean more than themselves to another part: it reads a fact in each, and stores what follows from it.

A follower's facts are read when the message is checked, so that a malformed one is refused with its path, and written
in the transaction that commits the event.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from push_server.customers.identity import Connection
from push_server.errors import Fault


class Told(NamedTuple):
    """A fact with whom and when it is of; `ts` in microseconds since EPOCH, `seq` the event's."""

    fact: Any
    customer: int
    ts: int
    seq: int


class Follower(Protocol):
    """What a part offers that follows events."""

    names: frozenset[str]

    def read(
        self, name: str, properties: Mapping[str, Any], fallback_id: str, zone: str, path: str, faults: list[Fault]
    ) -> Any:
        """The fact in an event's properties; None with faults added, or where there is none.

        `fallback_id` is the message's own id, `zone` the site's, `path` the JSON path of the properties.
        """

    def write(self, conn: Connection, site_id: int, told: list[Told]) -> None:
        """Store what follows from these, in the order of arrival. The site's lock is held, the customers are stored.

        Others may write at the same time, and all of it may be rolled back and come again.
        """


_followers: dict[str, Follower] = {}


def follow(follower: Follower) -> None:
    """From now on this one follows the events that it names."""
    _followers.update(dict.fromkeys(follower.names, follower))


def follower_of(name: str) -> Follower | None:
    """Who follows events of this name."""
    return _followers.get(name)
