"""The ten rules by hand for PostgreSQL, over Homing's tables: what somebody who knows the data would write.

They are the forms that did best when the layout was chosen, and take short cuts that a compiler of rules may not: sums
that may overflow, a category that every line has by its product, one ts for what are two conditions.
"""

from bench.segments_data import ADDED, CATEGORIES, NOW, VIEWED
from bench.segments_load import category_term

_NOW = f"timestamptz '{NOW.isoformat()}'"
_ADDED, _DOG = ADDED + 1, category_term(CATEGORIES.index("dog"))


def _ordered(days: int, columns: str = "customer_id") -> str:
    return (
        f"select {columns} from order_value where site_id = 1 and ts <= {_NOW} and ts > {_NOW} - interval '{days} d'"
        f" and since <= {_NOW} and until > {_NOW}"
    )


_LINES = (
    f"from order_line where site_id = 1 and since <= {_NOW} and until > {_NOW} and ts <= {_NOW}"
    f" and (category_id = {_DOG} or category_id is null and product_id in (select t.id from term t join product p"
    " on p.product_id = t.text where t.site_id = 1 and p.site_id = 1 and t.what = 'product' and p.category = 'dog'))"
)
_DOGS = (
    f"select customer_id from event where kind_id = {VIEWED + 1} and category_id = {_DOG} and ts <= {_NOW}"
    f" and ts > {_NOW} - interval '14 d' group by 1 having count(*) >= 3"
)
_ALIVE = f"from points_value where site_id = 1 and since <= {_NOW} and until > {_NOW} and expires_at > {_NOW}"
_EXPIRING = f"select customer_id {_ALIVE} and expires_at <= {_NOW} + interval '7 d' group by 1 having sum(points) >= 1"
_BEST = (
    f"with spend as ({_ordered(365, 'customer_id, sum(value) as worth')} group by 1) select customer_id from spend"
    " where worth >= (select worth from spend order by worth desc limit 1"
    " offset (select ceil(count(*) * 0.2)::bigint - 1 from spend))"
)
_BORN = ", ".join(f"{601 + day}" for day in range(8))

REFERENCE = {
    "R1": f"{_ordered(90)} group by 1 having count(*) >= 2",
    "R2": f"{_ordered(365)} group by 1 having sum(value) >= 500000000",
    "R3": f"select customer_id {_LINES} group by 1 having max(ts) <= {_NOW} - interval '180 d'",
    "R4": f"select customer_id from ({_DOGS}) d where customer_id not in ({_ordered(14)})",
    "R5": f"select customer_id from (select customer_id, max(ts) as ts from event where kind_id = {_ADDED}"
    f" and ts <= {_NOW} and ts > {_NOW} - interval '24 h' group by 1) a where not exists ({_ordered(1, '1')}"
    " and order_value.customer_id = a.customer_id and order_value.ts > a.ts)",
    "R6": _BEST,
    "R7": _EXPIRING,
    "R8": f"select id as customer_id from customer where site_id = 1 and birth_md in ({_BORN})",
    "R9": f"{_ordered(3650)} group by 1 having count(*) >= 3 and max(ts) > min(ts)"
    f" and ({_NOW} - max(ts)) * (count(*) - 1) > 2 * (max(ts) - min(ts))",
    "R10": f"select customer_id from ({_BEST} union select customer_id from ({_DOGS}) d where customer_id in"
    f" (select customer_id {_ALIVE} group by 1 having sum(points) >= 100)) x where customer_id not in"
    f" ({_ordered(30)}) and customer_id not in ({_EXPIRING}) and (customer_id in (select customer_id {_LINES}"
    f" and ts > {_NOW} - interval '365 d') or customer_id in (select customer_id from event where"
    f" kind_id = {_ADDED} and ts <= {_NOW} and ts > {_NOW} - interval '7 d'))",
}
