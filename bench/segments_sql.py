"""The ten rules once more, by hand: for DuckDB and ClickHouse over one table of events, and for PostgreSQL over
Homing's tables in the forms that did best when its layout was chosen. Each statement gives customers' ids, each once.

Times are microseconds since 2000. Orders are the standing ones (those cancelled by NOW are left out) and their lines
are rows of the same table, of a kind of their own, as events of a shop are kept there.
"""

from datetime import timedelta

from bench.segments_data import ADDED, CATEGORIES, DAY, KINDS, NOW, ORDERED, VIEWED, since_2000

LINE = len(KINDS)
_N = since_2000(NOW)
_DOG = CATEGORIES.index("dog")
_NEAR = [int(f"{NOW + timedelta(days=ahead):%m%d}") for ahead in range(8)]

_SPEND = f"select customer, sum(value) as worth from event where kind = {ORDERED} and ts > {_N - 365 * DAY} group by 1"
_DOGS = (
    f"select customer from event where kind = {VIEWED} and category = {_DOG} and ts > {_N - 14 * DAY}"
    " group by 1 having count(*) >= 3"
)
_EXPIRING = f"select customer from points where expires <= {_N + 7 * DAY} group by 1 having sum(points) >= 1"


def _ordered(days: int) -> str:
    return f"select customer from event where kind = {ORDERED} and ts > {_N - days * DAY}"


def columns(best: str, newest: str) -> dict[str, str]:
    """`best` gives the worth that is just in of `spend`; `newest` the newest `ts` of a kind as an aggregate."""
    late = (
        f"select customer from event where kind = {ORDERED} group by 1 having count(*) >= 3 and max(ts) > min(ts)"
        f" and ({_N} - max(ts)) * (count(*) - 1) > 2 * (max(ts) - min(ts))"
    )
    top = f"with spend as ({_SPEND}) select customer from spend where worth >= ({best})"
    added, came = newest.format(kind=ADDED), newest.format(kind=ORDERED)
    return {
        "R1": f"{_ordered(90)} group by 1 having count(*) >= 2",
        "R2": f"{_ordered(365)} group by 1 having sum(value) >= 500000000",
        "R3": f"select customer from event where kind = {LINE} and category = {_DOG} group by 1"
        f" having max(ts) <= {_N - 180 * DAY}",
        "R4": f"select customer from ({_DOGS}) as dogs where customer not in ({_ordered(14)})",
        "R5": f"select customer from event where kind in ({ADDED}, {ORDERED}) and ts > {_N - DAY} group by 1"
        f" having {added} > 0 and {added} >= {came}",
        "R6": top,
        "R7": _EXPIRING,
        "R8": f"select customer from customer where born in ({', '.join(map(str, _NEAR))})",
        "R9": late,
        "R10": f"select customer from (select customer from ({top}) as best union distinct select customer"
        f" from ({_DOGS}) as dogs where customer in (select customer from points group by 1 having sum(points) >= 100)"
        f") as chosen where customer not in ({_ordered(30)}) and customer not in ({_EXPIRING})"
        f" and (customer in (select customer from event where kind = {LINE} and category = {_DOG}"
        f" and ts > {_N - 365 * DAY}) or customer in (select customer from event where kind = {ADDED}"
        f" and ts > {_N - 7 * DAY}))",
    }


DUCKDB = columns(
    "select worth from spend order by worth desc limit 1 offset (select ceil(count(*) * 0.2)::bigint - 1 from spend)",
    "coalesce(max(ts) filter (where kind = {kind}), 0)",
)
CLICKHOUSE = columns(
    "select arrayElement(arrayReverseSort(groupArray(worth)), toUInt64(ceil(count() * 0.2))) from spend",
    "maxIf(ts, kind = {kind})",
)
