"""Change notes: what was written of whom, told in the same transaction to those who keep what follows from it.

A note is taken away when it has been worked off, so none is lost whoever dies, and whoever is looked at once too often
is only looked at in vain.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import IntEnum
from typing import Any

import psycopg

from push_server import clock
from push_server.db import array


class Kind(IntEnum):
    """What changed of a customer, besides the plain events, which are told by the dictionary ids of their names."""

    ORDERS = -1
    ATTRIBUTES = -2
    LOYALTY = -3
    SUBSCRIPTION = -4
    MESSAGE = -5
    EVERYTHING = -6
    CATALOGUE = -7


NOBODY = 0
"""The customer of a note that is about none of them, such as the catalogue's. No customer has this id."""


def note(conn: psycopg.Connection[Any], site_id: int, pairs: Iterable[tuple[int, int]]) -> None:
    """Note (customer, kind) pairs, once each, in this transaction. Nothing to do without any."""
    distinct = set(pairs)
    if distinct:
        conn.execute(
            "insert into change_note (site_id, noted_at, customers, kinds) values (%s, %s, %s::int[], %s::int[])",
            [site_id, clock.now(), array(pair[0] for pair in distinct), array(pair[1] for pair in distinct)],
        )


def noting(source: str, kind: Kind) -> str:
    """SQL that notes this kind of every `customer_id` of `source`, once each, with the parameters `site` and `now`."""
    return f"""
insert into change_note (site_id, noted_at, customers, kinds)
select %(site)s, %(now)s, array_agg(customer_id), array_agg({int(kind)})
from (select distinct customer_id from {source}) as changed having count(*) > 0
"""  # noqa: S608 - no text from outside


def due(conn: psycopg.Connection[Any], site_id: int, instants: Iterable[tuple[int, datetime]]) -> None:
    """Have customers looked at again at these instants; those that have come are left out, their notes see to them."""
    now = clock.now()
    ahead = sorted({(at, customer) for customer, at in instants if at > now})
    if ahead:
        conn.execute(
            "insert into customer_due (site_id, at, customer_id) select %s, * from unnest(%s::timestamptz[], %s::int[])"
            " on conflict do nothing",
            [site_id, [at for at, _customer in ahead], [customer for _at, customer in ahead]],
        )
