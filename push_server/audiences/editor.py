"""Of all the queries of somebody who edits a rule, only the newest matters: it cancels those that it outdates.

A query carries its editor and when it began as the application's name, for its own transaction. A newer one finds the
older ones by that name in `pg_stat_activity` and cancels them. Each shows its name before it looks for others, so that
of two that start at once one sees the other.

A cancellation reaches a connection, not a statement. So a query may leave only under the lock that is held while
others are cancelled, and takes its name off there: whoever has a name is still at his query.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

import psycopg
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from push_server.db import SiteSession
from push_server.errors import Conflict

_LOCK: Final = 6 << 56  # apart from other advisory locks
_SHOW: Final = text(
    "select current_setting('application_name'), set_config('application_name',"
    " :editor || lpad(to_hex((extract(epoch from clock_timestamp()) * 1000000)::bigint), 16, '0'), true)"
)
_HIDE: Final = text("select set_config('application_name', :before, true)")
_OTHERS: Final = (
    "from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
    " and left(application_name, length(:editor)) = :editor"
)
_IS_OUTDATED: Final = text(f'select exists (select 1 {_OTHERS} and application_name collate "C" > :own)')
_CANCEL_OLDER: Final = text(f'select pg_cancel_backend(pid) {_OTHERS} and application_name collate "C" < :own')


@contextmanager
def newest_only(session: SiteSession, key_id: int | None, editor: str | None) -> Iterator[None]:
    """Statements in here are cancelled by a newer block of the same site, key and editor: 409 `superseded`.

    Without an editor nothing is cancelled.
    """
    if editor is None:
        yield
        return
    connection = session.connection()
    identity = blake2b(f"{session.site_id} {key_id} {editor}".encode(), digest_size=12)
    name, lock = f"homing editor {identity.hexdigest()} ", _LOCK | int.from_bytes(identity.digest()[:7])
    before, own = connection.execute(_SHOW, {"editor": name}).one()
    try:
        _outdate_others(connection, lock, {"editor": name, "own": own})
        try:
            with connection.begin_nested():
                yield
        finally:
            _wait_for(connection, lock)
            connection.execute(_HIDE, {"before": before})
    except OperationalError as error:
        if isinstance(error.orig, psycopg.errors.QueryCanceled):
            raise _superseded() from None
        raise


def _outdate_others(connection: Connection, lock: int, who: dict[str, str]) -> None:
    with connection.begin_nested() as alone:
        _wait_for(connection, lock)
        connection.execute(_CANCEL_OLDER, who)
        outdated = connection.execute(_IS_OUTDATED, who).scalar_one()
        alone.rollback()  # which gives the lock back
    if outdated:
        raise _superseded()


def _wait_for(connection: Connection, lock: int) -> None:
    connection.execute(text("select pg_advisory_xact_lock(:key)"), {"key": lock})


def _superseded() -> Conflict:
    return Conflict("A newer request of the same Homing-Editor has taken this one's place.", code="superseded")
