"""Who needs more of something: a product's lifespan ends soon after its last purchase by the customer."""

from datetime import datetime

from sqlalchemy import DateTime, Numeric, and_, cast, func, literal, select

from segments.core import Replenish, Source, Stream
from segments.sql_gap import seconds
from segments.sql_rows import Binding, rows_of
from segments.sql_streams import Ids

_INSTANT = DateTime(timezone=True)
_DAY = 86_400


def replenish_ids(leaf: Replenish, binding: Binding, at: datetime) -> Ids:
    """The lifespan's end lies in (at, at + within]: it is longer than the time since, but not than that and `within`.

    Compared in seconds: no lifespan is too long for that, and a day is always 24 hours.
    """
    rows = rows_of(Source(Stream.LINES), binding, at)
    terms, products, lines = binding.term, binding.product, binding.order_line
    lasting = (
        select(terms.c.id, (cast(products.c.lifespan_days, Numeric) * _DAY).label("lifespan"))
        .join_from(terms, products, and_(products.c.site_id == terms.c.site_id, products.c.product_id == terms.c.text))
        .where(terms.c.site_id == binding.site_id, terms.c.what == "product", products.c.lifespan_days.is_not(None))
        .subquery()
    )
    since = seconds(literal(at, _INSTANT) - func.max(rows.ts))
    ahead = cast(leaf.within.total_seconds(), Numeric)
    ending = (
        rows.grouped()
        .where(lines.c.product_id == lasting.c.id)
        .group_by(lasting.c.id, lasting.c.lifespan)
        .having(lasting.c.lifespan > since, lasting.c.lifespan <= since + ahead)
        .subquery()
    )
    return Ids(select(ending.c.customer_id).distinct())
