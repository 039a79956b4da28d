"""The statement that loads histories: one row, of which each column is an array (or lines of JSON) of many values.

The customers' ids go through a subquery, so that the planner does not weigh each of ten thousand ids against its
statistics; it then always goes by the indexes that begin with the customer, which is right for few and for many.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from push_server.audiences.messages import messages_of_customers
from segments.needs import Needs

Kind = Literal["id", "number", "instant", "json"]

_ASKED: Final = "with asked as materialized (select %(customers)s::int[] as customers)"
_CUSTOMERS: Final = "(select customers from asked)::int[]"
_OF_SITE: Final = f"where site_id = %(site)s and customer_id = any({_CUSTOMERS})"
_MADE: Final[dict[Kind, str]] = {
    "id": "array_agg(coalesce({}, 0))",
    "number": "array_agg({})",
    "instant": "array_agg({})",
    "json": "string_agg(coalesce(({})::text, ''), E'\\n')",  # the text of a jsonb has no line feed
}


@dataclass(frozen=True, slots=True)
class Part:
    """The columns of some rows by name, each as SQL and kind; `source` says from where."""

    columns: dict[str, tuple[str, Kind]]
    source: str

    def sql(self) -> str:
        """A select of one row."""
        made = [_MADE[kind].format(sql) for sql, kind in self.columns.values()]
        return f"select {', '.join(made)} {self.source}"


def statement(parts: Mapping[str, Part]) -> str:
    """One statement for all parts.

    Its parameters: `site`; `customers`, an array as text; `attributes`, `order_properties`, `line_properties` and
    `rolled_up`, names in ascending order; and for events and their bodies what `_EVENTS` and `_bodies` say.
    """
    columns = ", ".join(f"p{place}.*" for place in range(len(parts)))
    selects = ", ".join(f"({part.sql()}) p{place}" for place, part in enumerate(parts.values()))
    return f"{_ASKED} select {columns} from {selects}"  # noqa: S608 - no text from outside


def parts(needs: Needs) -> dict[str, Part]:
    """What is loaded: `customers`, and the others as far as they are asked."""
    found = {"customers": _customers(needs)}
    if needs.narrow:
        found["events"] = _EVENTS
    if needs.oldest:
        found["oldest"] = _OLDEST
    if needs.newest:
        found["newest"] = _NEWEST
    if needs.free_reach:
        found["bodies"] = _bodies(max(len(needs.events[name]) for name in needs.free_reach))
    if needs.rolled_up:
        found["rolled_up"] = Part(_ROLLED_UP, _ROLLED_UP_OF)
    if needs.orders is not None:
        found["orders"] = _orders(needs.orders)
    if needs.lines is not None:
        found["lines"] = _lines(needs.lines)
    if needs.points:
        found["lots"] = Part(_LOTS, f"from points_value {_OF_SITE}")
    if needs.tiers:
        found["tiers"] = Part(_TIERS, f"from tier_change {_OF_SITE}")
    if needs.browsers:
        found["browsers"] = Part(_BROWSERS, f"from subscription {_OF_SITE}")
    for outcome in sorted(needs.outcomes):
        found[outcome] = Part(_MESSAGES, f"from ({messages_of_customers(outcome, _CUSTOMERS)}) as happened")
    return found


def _customers(needs: Needs) -> Part:
    columns: dict[str, tuple[str, Kind]] = {"owner": ("id", "id")}
    if needs.identity:
        columns["identity"] = ("to_jsonb(coalesce(external_id, anonymous_id, ''))", "json")
    if needs.attributes:
        columns["zone"] = ("to_jsonb(time_zone)", "json")
    for place, name in enumerate(sorted(needs.attributes), 1):
        columns[f"attribute {name}"] = (f"attributes -> (%(attributes)s::text[])[{place}]", "json")
    return Part(columns, f"from customer where site_id = %(site)s and id = any({_CUSTOMERS})")


_COME: Final[dict[str, tuple[str, Kind]]] = {
    "kind": ("k.place", "number"),
    "owner": ("e.customer_id", "id"),
    "ts": ("e.ts", "instant"),
    "category": ("e.category_id", "id"),
}
_OF_KINDS: Final = (
    " join term t on t.site_id = %(site)s and t.what = 'event' and t.text = k.name"
    f" join event e on e.kind_id = t.id and e.ts > k.after and e.customer_id = any({_CUSTOMERS})"
)

# Of each name in the parameter `events`, those later than its instant in `events_after` and not later than the one in
# `events_upto`: since then they are loaded with their bodies. `kind` is its place, from 1. Nothing is asked that the
# covering index does not hold.
_EVENTS: Final = Part(
    _COME,
    "from unnest(%(events)s::text[], %(events_after)s::timestamptz[], %(events_upto)s::timestamptz[])"
    f" with ordinality as k (name, after, upto, place){_OF_KINDS} and e.ts <= k.upto",
)


def _end(names: str, *, is_newest: bool) -> Part:
    """For each name in the parameter and each customer the first event, or the last one up to `at`.

    Events lie by year, so they are looked for by year, and no further than where one is found: the parameters
    `last_year` and `this_year` are instants that divide all time, whatever tables there are.
    """
    columns: dict[str, tuple[str, Kind]] = {**_COME, "owner": ("c.id", "id")}
    named = (
        f"from unnest(%({names})s::text[]) with ordinality as k (name, place)"
        " join term t on t.site_id = %(site)s and t.what = 'event' and t.text = k.name"
    )
    years = [
        "ts < %(last_year)s::timestamptz",
        "ts >= %(last_year)s::timestamptz and ts < %(this_year)s::timestamptz",
        "ts >= %(this_year)s::timestamptz",
    ]
    of_year = "(select ts, category_id from event where kind_id = t.id and customer_id = c.id and {} limit 1)"
    wanted = [f"{year} order by ts" for year in years]
    if is_newest:
        wanted = [f"{year} and ts <= %(at)s order by ts desc" for year in reversed(years)]
    each = [of_year.format(one) for one in wanted]
    one = f"(select * from ({' union all '.join(each)}) as by_year limit 1)"  # noqa: S608
    return Part(columns, f"{named} cross join unnest({_CUSTOMERS}) as c (id) cross join lateral {one} e")


_OLDEST: Final = _end("oldest", is_newest=False)
_NEWEST: Final = _end("newest", is_newest=True)


def _bodies(most: int) -> Part:
    """Likewise of `bodies` and `bodies_after`, with up to `most` free properties each, whose names `bodies_1` … list.

    Bodies are looked up one by one: a join could become a hash table of all bodies there are.
    """
    places = range(1, most + 1)
    columns = dict(_COME) | {f"property {place}": (f"b.properties -> k.p{place}", "json") for place in places}
    names = "".join(f", %(bodies_{place})s::text[]" for place in places)
    named = f"unnest(%(bodies)s::text[], %(bodies_after)s::timestamptz[]{names}) with ordinality"
    asked = "".join(f"p{place}, " for place in places)
    body = "(select properties from event_body where seq = e.seq offset 0)"
    source = f"from {named} as k (name, after, {asked}place){_OF_KINDS} left join lateral {body} b on true"
    return Part(columns, source)


_ROLLED_UP: Final[dict[str, tuple[str, Kind]]] = {
    "kind": ("k.place", "number"),
    "owner": ("r.customer_id", "id"),
    "category": ("r.category_id", "id"),
    "property": ("to_jsonb(r.property)", "json"),
    "many": ("r.many", "number"),
    "first": ("r.first_at", "instant"),
    "ts": ("r.last_at", "instant"),
    "total": ("to_jsonb(r.total)", "json"),
    "least": ("to_jsonb(r.least)", "json"),
    "greatest": ("to_jsonb(r.greatest)", "json"),
}
_ROLLED_UP_OF: Final = (
    "from unnest(%(rolled_up)s::text[]) with ordinality as k (name, place)"
    " join term t on t.site_id = %(site)s and t.what = 'event' and t.text = k.name"
    f" join event_rollup r on r.kind_id = t.id and r.customer_id = any({_CUSTOMERS})"
)
_VERSION: Final[dict[str, tuple[str, Kind]]] = {
    "owner": ("customer_id", "id"),
    "ts": ("ts", "instant"),
    "since": ("since", "instant"),
    "until": ("until", "instant"),
}


def _orders(free: Collection[str]) -> Part:
    columns: dict[str, tuple[str, Kind]] = {**_VERSION, "value": ("value", "number")}
    if not free:
        return Part(columns, f"from order_value {_OF_SITE}")
    body = "left join lateral (select properties from event_body where seq = order_value.seq offset 0) b on true"
    return Part(columns | _free("b.properties", free, "order_properties"), f"from order_value {body} {_OF_SITE}")


def _lines(free: Collection[str]) -> Part:
    columns: dict[str, tuple[str, Kind]] = {
        **_VERSION,
        "value": ("amount", "number"),
        "product": ("product_id", "id"),
        "category": ("category_id", "id"),
    }
    if "quantity" in free:
        columns["quantity"] = ("to_jsonb(quantity)", "json")
    properties = _free("line", set(free) - {"quantity"}, "line_properties")
    return Part(columns | properties, f"from order_line {_OF_SITE}")


def _free(document: str, names: Collection[str], parameter: str) -> dict[str, tuple[str, Kind]]:
    """Free properties, whose names are in the parameter in ascending order."""
    return {
        f"property {name}": (f"{document} -> (%({parameter})s::text[])[{place}]", "json")
        for place, name in enumerate(sorted(names), 1)
    }


_LOTS: Final[dict[str, tuple[str, Kind]]] = {
    "owner": ("customer_id", "id"),
    "since": ("since", "instant"),
    "until": ("until", "instant"),
    "expires_at": ("expires_at", "instant"),
    "points": ("points", "number"),
}
_TIERS: Final[dict[str, tuple[str, Kind]]] = {
    "owner": ("customer_id", "id"),
    "ts": ("at", "instant"),
    "seq": ("seq", "number"),
    "tier": ("to_jsonb(tier)", "json"),
}
FACTS: Final = {
    "browser": "to_jsonb(browser)",
    "locale": "to_jsonb(locale)",
    "time_zone": "to_jsonb(time_zone)",
    "topics": "to_jsonb(topics)",
    "created_at": """to_jsonb(to_char(timezone('UTC', created_at), 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))""",
}
_BROWSERS: Final[dict[str, tuple[str, Kind]]] = {
    "owner": ("customer_id", "id"),
    "created_at": ("created_at", "instant"),
    "ended_at": ("case state when 'active' then 'infinity' else coalesce(ended_at, '-infinity') end", "instant"),
    **{f"fact {name}": (sql, "json") for name, sql in FACTS.items()},
}
_MESSAGES: Final[dict[str, tuple[str, Kind]]] = {
    "owner": ("customer_id", "id"),
    "ts": ("ts", "instant"),
    "since": ("since", "instant"),
    "until": ("until", "instant"),
    "campaign": ("to_jsonb(campaign)", "json"),
}
