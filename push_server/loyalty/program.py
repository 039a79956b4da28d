"""A site's points programme: what its points are called, how long they last, and the order of its tiers."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Final

from push_server.customers.identity import Connection
from segments.moments import Duration, read_duration


class _Unsaid(Enum):
    UNSAID = auto()


UNSAID: Final = _Unsaid.UNSAID
"""In place of a lot's expiry: nothing was said of it. None: for ever."""
Expiry = datetime | None | _Unsaid


@dataclass(frozen=True, slots=True)
class Program:
    """A programme; as it stands here where a site has set none. `tiers` ascend."""

    singular: str = "point"
    plural: str = "points"
    expires_after: Duration | None = None
    tiers: tuple[str, ...] = ()

    def expiry(self, earned_at: datetime) -> datetime | None:
        """When points earned at this instant expire, if nothing else was said of them; None: never."""
        if self.expires_after is None:
            return None
        try:
            return earned_at + self.expires_after.length
        except OverflowError:  # after the year 9999
            return None

    def name(self, points: int) -> str:
        """What so many points are called."""
        return self.singular if points == 1 else self.plural

    def next_tier(self, tier: str | None) -> str | None:
        """The tier above; the lowest for who has none. None above the highest, and for a tier that is not listed."""
        if tier is None:
            above = 0
        elif tier in self.tiers:
            above = self.tiers.index(tier) + 1
        else:
            return None
        return self.tiers[above] if above < len(self.tiers) else None


def program_of(conn: Connection, site_id: int) -> Program | None:
    """The programme that the site has set; None without one."""
    row = conn.execute(
        "select singular, plural, expires_after, tiers from loyalty_program where site_id = %s", [site_id]
    ).fetchone()
    if row is None:
        return None
    singular, plural, expires_after, tiers = row
    return Program(singular, plural, read_duration(expires_after) if expires_after else None, tuple(tiers))


def set_program(conn: Connection, site_id: int, program: Program) -> None:
    """Replace the site's programme. Lots that are in keep their expiry."""
    conn.execute(
        "insert into loyalty_program (site_id, singular, plural, expires_after, tiers) values (%s, %s, %s, %s, %s)"
        " on conflict (site_id) do update set singular = excluded.singular, plural = excluded.plural,"
        " expires_after = excluded.expires_after, tiers = excluded.tiers",
        [
            site_id,
            program.singular,
            program.plural,
            program.expires_after and program.expires_after.text,
            list(program.tiers),
        ],
    )
