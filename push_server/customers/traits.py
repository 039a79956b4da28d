"""What is known of customers: traits merged into their attributes, and the columns that follow from them."""

import json
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from push_server.customers.identity import Connection

BIRTHDAYS = ("birthday", "birth_date", "date_of_birth")
MAX_ATTRIBUTES = 300
MAX_BYTES = 64 * 1024


@dataclass(slots=True)
class Patch:
    """Changes to one customer: a trait of None is taken away; a time zone of None leaves the one he has."""

    traits: dict[str, Any] = field(default_factory=dict)
    time_zone: str | None = None


def apply_patches(conn: Connection, site_id: int, patches: dict[int, Patch]) -> set[int]:
    """Merge the patches (by customer id); rows that would stay as they are are not written.

    Returns who grew beyond MAX_ATTRIBUTES or MAX_BYTES; the transaction must not be committed then.
    """
    if not patches:
        return set()
    ids = sorted(patches)
    told = [patches[customer].traits for customer in ids]
    written = conn.execute(
        """
        with patch as (
            select * from unnest(%(ids)s::int[], %(set)s::jsonb[], %(unset)s::jsonb[], %(zone)s::text[],
                                 %(born)s::int[]) as p(id, set, unset, zone, born)
        ), wanted as (
            select c.id, (c.attributes || p.set) - array(select jsonb_array_elements_text(p.unset)) as attributes,
                   octet_length(c.attributes::text) as bytes, coalesce(p.zone, c.time_zone) as time_zone,
                   case p.born when -1 then c.birth_md else nullif(p.born, 0) end as birth_md
            from patch p join customer c on c.id = p.id and c.site_id = %(site)s
            order by c.id for update of c  -- so that they are merged into what others have just committed
        )
        update customer c set attributes = w.attributes, time_zone = w.time_zone, birth_md = w.birth_md,
               updated_at = now()
        from wanted w where c.id = w.id
        and (c.attributes, c.time_zone, c.birth_md) is distinct from (w.attributes, w.time_zone, w.birth_md)
        returning c.id, octet_length(c.attributes::text) > w.bytes and (
            octet_length(c.attributes::text) > %(most_bytes)s
            or (select count(*) from jsonb_object_keys(c.attributes)) > %(most)s)
        """,
        {
            "site": site_id,
            "most": MAX_ATTRIBUTES,
            "most_bytes": MAX_BYTES,
            "ids": ids,
            "set": [json.dumps({key: value for key, value in traits.items() if value is not None}) for traits in told],
            "unset": [json.dumps([key for key, value in traits.items() if value is None]) for traits in told],
            "zone": [patches[customer].time_zone for customer in ids],
            "born": [_born(traits) for traits in told],
        },
    )
    return {customer for customer, is_beyond in written if is_beyond}


def birth_md(traits: dict[str, Any]) -> int | None:
    """Month × 100 + day of the first date of birth among the traits, such as 1980-02-29; None without one."""
    for name in BIRTHDAYS:
        text = traits.get(name)
        if isinstance(text, str):
            try:
                born = date.fromisoformat(text[:10])
            except ValueError:
                continue
            return born.month * 100 + born.day
    return None


def _born(traits: dict[str, Any]) -> int:
    """For the statement above: the day of birth, 0 when it is taken away, -1 when nothing is said of it."""
    return birth_md(traits) or (0 if any(name in traits for name in BIRTHDAYS) else -1)
