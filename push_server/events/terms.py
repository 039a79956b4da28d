"""The dictionary of event names, categories and product ids: small numbers in place of texts, site by site."""

import msgspec

from push_server.customers.identity import Connection

EVENT, CATEGORY, PRODUCT = "event", "category", "product"
MAX_EVENT_NAMES = 2000
"""How many distinct event names a site may have: beyond that, an id has slipped into the name."""
_MAX_REMEMBERED = 500_000

Wanted = dict[str, set[str]]
"""What is needed: kind of term → texts."""


class Terms:
    """One writer's memory of the dictionary. What a transaction learns is forgotten again unless it commits."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, str], dict[str, int]] = {}
        self._fresh: list[tuple[dict[str, int], str]] = []
        self._remembered = 0

    def of(self, site_id: int, what: str) -> dict[str, int]:
        """Text → number, as far as known; `learn` adds to it."""
        return self._numbers.setdefault((site_id, what), {})

    def learn(self, conn: Connection, site_id: int, wanted: Wanted) -> set[str]:
        """Make sure that these are in `of`, adding them to the dictionary as needed.

        Returns event names that were not added because the site has too many.
        """
        missing = {what: texts - self.of(site_id, what).keys() for what, texts in wanted.items()}
        if not any(missing.values()):
            return set()
        self._read(conn, site_id, missing)
        missing = {what: texts - self.of(site_id, what).keys() for what, texts in missing.items()}
        refused = self._too_many(conn, site_id, missing.get(EVENT, set()))
        # Sorted: transactions that add the same terms wait for each other instead of deadlocking.
        new = sorted((what, text) for what, texts in missing.items() for text in texts if text not in refused)
        if new:
            conn.execute(
                "insert into term (site_id, what, text) select %s, * from unnest(%s::text[], %s::text[])"
                " on conflict do nothing",
                [site_id, [what for what, _ in new], [text for _, text in new]],
            )
            self._read(conn, site_id, missing)
        return refused

    def keep(self) -> None:
        """The transaction has committed."""
        self._remembered += len(self._fresh)
        self._fresh.clear()
        if self._remembered > _MAX_REMEMBERED:
            self._numbers.clear()
            self._remembered = 0

    def forget(self) -> None:
        """The transaction was rolled back."""
        for numbers, text in self._fresh:
            numbers.pop(text, None)
        self._fresh.clear()

    def _too_many(self, conn: Connection, site_id: int, names: set[str]) -> set[str]:
        if not names:
            return set()
        found = conn.execute("select count(*) from term where site_id = %s and what = 'event'", [site_id])
        room = MAX_EVENT_NAMES - found.fetchall()[0][0]
        return set(sorted(names)[max(0, room) :])

    def _read(self, conn: Connection, site_id: int, missing: Wanted) -> None:
        for what, texts in missing.items():
            if not texts:
                continue
            numbers = self.of(site_id, what)
            rows = conn.execute(
                "select text, id from term where site_id = %s and what = %s"
                " and text in (select jsonb_array_elements_text(%s::jsonb))",
                [site_id, what, msgspec.json.encode(list(texts)).decode()],
            )
            for text, number in rows.fetchall():
                if text not in numbers:
                    numbers[text] = number
                    self._fresh.append((numbers, text))
