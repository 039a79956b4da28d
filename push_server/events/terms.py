"""The dictionary of event names, categories and product ids: small numbers in place of texts, site by site."""

from collections.abc import Iterable

from push_server.customers.identity import Connection

Term = tuple[int, str, str]
"""site id, what ('event', 'category', 'product'), text."""

MAX_EVENT_NAMES = 2000
"""How many distinct event names a site may have: beyond that, an id has slipped into the name."""
_MAX_REMEMBERED = 500_000


class Terms:
    """One writer's memory of the dictionary. What a transaction adds is remembered once it has committed."""

    def __init__(self) -> None:
        self._known: dict[Term, int] = {}
        self._fresh: dict[Term, int] = {}

    def __getitem__(self, term: Term) -> int:
        return self._known.get(term) or self._fresh[term]

    def missing(self, wanted: Iterable[Term]) -> set[Term]:
        """Those not in memory."""
        return {term for term in wanted if term not in self._known and term not in self._fresh}

    def learn(self, conn: Connection, wanted: Iterable[Term]) -> set[Term]:
        """Make sure that these can be read by `[]`, adding them as needed.

        Returns event names that were not added because their site has too many.
        """
        missing = self.missing(wanted)
        refused: set[Term] = set()
        if not missing:
            return refused
        self._read(conn, missing)
        missing -= self._fresh.keys()
        names = sorted(term for term in missing if term[1] == "event")
        for site_id in sorted({term[0] for term in names}):
            count = conn.execute("select count(*) from term where site_id = %s and what = 'event'", [site_id])
            room = MAX_EVENT_NAMES - count.fetchall()[0][0]
            refused.update([term for term in names if term[0] == site_id][max(0, room) :])
        missing -= refused
        if missing:
            # Sorted: transactions that add the same terms wait for each other instead of deadlocking.
            conn.execute(
                "insert into term (site_id, what, text) select * from unnest(%s::bigint[], %s::text[], %s::text[])"
                " on conflict do nothing",
                _columns(sorted(missing)),
            )
            self._read(conn, missing)
        return refused

    def keep(self) -> None:
        """The transaction has committed."""
        if len(self._known) > _MAX_REMEMBERED:
            self._known.clear()
        self._known |= self._fresh
        self._fresh.clear()

    def forget(self) -> None:
        """The transaction was rolled back."""
        self._fresh.clear()

    def _read(self, conn: Connection, terms: set[Term]) -> None:
        rows = conn.execute(
            "select t.site_id, t.what, t.text, t.id from term t"
            " join unnest(%s::bigint[], %s::text[], %s::text[]) as u(site_id, what, text) using (site_id, what, text)",
            _columns(list(terms)),
        )
        for site_id, what, text, number in rows:
            self._fresh[site_id, what, text] = number


def _columns(terms: list[Term]) -> list[list[int] | list[str]]:
    return [[term[0] for term in terms], [term[1] for term in terms], [term[2] for term in terms]]
