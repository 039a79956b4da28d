"""What every API route shares: one transaction a request, problem details, idempotency keys, cursor pages.

`TransactionRoute` opens the request's session, and commits before the answer leaves, so that success means
committed. `Idempotency-Key` is handled here too: the key's row is written in the same transaction as its effect, so
a second request waits for the first and then gets its answer.
"""

import hashlib
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import psycopg
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel
from sqlalchemy import BigInteger, Column, LargeBinary, PrimaryKeyConstraint, SmallInteger, Table, Text, func, text
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel import SQLModel
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import StreamingResponse
from starlette.types import Message, Receive

from push_server import clock, errors, security
from push_server.db import Database, Instant, SiteSession, database

PROBLEM = "application/problem+json"
_DOWN = (OperationalError, InterfaceError, psycopg.OperationalError, psycopg.InterfaceError)
MAX_BODY = 8 * 1024 * 1024
KEPT = timedelta(days=30)
_TEXT = {"type": "string"}
_FAULT_SCHEMA = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": _TEXT,
        "title": _TEXT,
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "stable: programs decide by this"},
        "detail": {"type": "string", "description": "what is wrong, and what to do next"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "message", "code"],
                "properties": {"path": _TEXT, "message": _TEXT, "code": _TEXT},
            },
        },
    },
}
FAULTS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "What is wrong (RFC 9457)", "content": {PROBLEM: {"schema": _FAULT_SCHEMA}}},
    503: {
        "description": "A part is down: try again after Retry-After",
        "content": {PROBLEM: {"schema": _FAULT_SCHEMA}},
    },
}

idempotency_key = Table(
    "idempotency_key",
    SQLModel.metadata,
    Column("site_id", BigInteger, nullable=False),
    Column("key", Text, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False, comment="SHA-256 of method, path and body"),
    Column("status", SmallInteger),
    Column("body", LargeBinary),  # sealed
    Column("created_at", Instant, nullable=False, server_default=func.now(), index=True),
    PrimaryKeyConstraint("site_id", "key"),
)


class _Replay(Exception):
    def __init__(self, status: int, body: bytes) -> None:
        self.status, self.body = status, body


class TransactionRoute(APIRoute):
    """A route whose handler runs in one transaction, found as `session_of(request)`."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def run(request: Request) -> Response:
            request = Request(request.scope, _bounded(request.receive))
            try:
                body = await request.body()  # read here, so that an oversized one is our 413; the request keeps it
            except ClientDisconnect:
                raise errors.BadRequest("The body ended before it was whole.", code="incomplete_body") from None
            if request.method == "POST" and "idempotency-key" in request.headers:
                request.state.fingerprint = _fingerprint(request, body)
            session = SiteSession(database().engine, expire_on_commit=False)
            request.state.session = session
            try:
                response = await handle(request)
                await run_in_threadpool(_finish, session, request, response)
                return response
            except _Replay as replay:
                await run_in_threadpool(session.rollback)
                return Response(
                    replay.body, replay.status, {"Idempotent-Replayed": "true"}, media_type="application/json"
                )
            except BaseException:
                await run_in_threadpool(session.rollback)
                raise
            finally:
                await run_in_threadpool(session.close)

        return run


def router(tag: str) -> APIRouter:
    """A router whose routes are transactions, and whose faults are problem details."""
    return APIRouter(tags=[tag], route_class=TransactionRoute, responses=FAULTS)


def _bounded(receive: Receive) -> Receive:
    taken = 0

    async def bounded() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > MAX_BODY:
            raise errors.TooLarge(f"A request body takes at most {MAX_BODY} bytes. Send it in parts.")
        return message

    return bounded


def session_of(request: Request) -> SiteSession:
    """The request's session."""
    session: SiteSession = request.state.session
    return session


def _fingerprint(request: Request, body: bytes) -> bytes:
    return hashlib.sha256(f"{request.method} {request.url.path}\n".encode() + body).digest()


def claim_idempotency_key(request: Request) -> None:
    """Called once the site is known. A repeated key answers as it did; with another request it is a 409."""
    fingerprint: bytes | None = getattr(request.state, "fingerprint", None)
    if fingerprint is None:
        return
    key = request.headers["idempotency-key"]
    if not 1 <= len(key) <= 255 or not key.isprintable():
        raise errors.BadRequest("Idempotency-Key takes 1 to 255 printable characters.", code="bad_idempotency_key")
    session = session_of(request)
    taken = session.sql(
        text(
            "insert into idempotency_key (site_id, key, fingerprint) values (:site, :key, :print)"
            " on conflict do nothing returning 1"
        ),
        {"site": session.site_id, "key": key, "print": fingerprint},
    ).first()
    if taken:
        request.state.idempotency_key = key
        return
    row = session.sql(
        text("select fingerprint, status, body from idempotency_key where site_id = :site and key = :key"),
        {"site": session.site_id, "key": key},
    ).one()
    if bytes(row.fingerprint) != fingerprint:
        raise errors.Conflict(
            "This Idempotency-Key was used with another request. Use a new key for a new request.",
            code="idempotency_key_reused",
        )
    raise _Replay(row.status, security.unseal(bytes(row.body), "idempotency_key.body"))


def _finish(session: SiteSession, request: Request, response: Response) -> None:
    key = getattr(request.state, "idempotency_key", None)
    if response.status_code >= 400:
        session.rollback()
        return
    if key is not None and isinstance(response, StreamingResponse):
        # a stream only reads: asked again, it is read again
        session.sql(
            text("delete from idempotency_key where site_id = :site and key = :key"),
            {"site": session.site_id, "key": key},
        )
    elif key is not None:
        session.sql(
            text("update idempotency_key set status = :status, body = :body where site_id = :site and key = :key"),
            {"status": response.status_code, "body": _sealed(response), "site": session.site_id, "key": key},
        )
    session.commit()


def _sealed(response: Response) -> bytes:
    # an answer may show a secret once; what is kept of it must not show it again to who reads the table
    return security.seal(bytes(response.body), "idempotency_key.body")


def forget_idempotency_keys(database: Database, limit: int = 10_000) -> int:
    """Delete keys that have been kept for 30 days, the oldest first; returns how many."""
    with database.engine.begin() as connection:
        done = connection.execute(
            text(
                "delete from idempotency_key where (site_id, key) in (select site_id, key from idempotency_key"
                " where created_at < :before order by created_at limit :limit for update skip locked)"
            ),
            {"before": clock.now() - KEPT, "limit": limit},
        )
        return int(done.rowcount)


class Page(BaseModel):
    """The shape of every list: the rows, and the cursor of the next page or null."""

    data: list[Any]
    next_cursor: str | None


def encode_cursor(position: list[Any]) -> str:
    """An opaque cursor from the sort key of the last row of a page (JSON values)."""
    return security.b64url(json.dumps(position).encode())


def decode_cursor(cursor: str | None, length: int) -> list[Any] | None:
    """The sort key in a cursor; 400 when it is not one of ours."""
    if not cursor:
        return None
    try:
        position = json.loads(security.unb64url(cursor))
        if not isinstance(position, list) or len(position) != length:
            raise ValueError(cursor)
    except (ValueError, RecursionError):
        raise bad_cursor() from None
    return position


def bad_cursor() -> errors.BadRequest:
    """What is raised for a cursor that its list did not give."""
    return errors.BadRequest("The cursor is not one that this list gave. Start without it.", code="bad_cursor")


def cursor_id(cursor: str | None) -> int:
    """The row id in the cursor of a list that is ordered by id alone; 0 without a cursor, 400 when not one of ours."""
    position = decode_cursor(cursor, 1)
    if position is None:
        return 0
    if type(position[0]) is not int or not 0 <= position[0] < 2**63:
        raise bad_cursor()
    return int(position[0])


def problem_response(error: errors.HomingError) -> Response:
    """The error as RFC 9457 problem details."""
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(error.retry_after)
    if isinstance(error, errors.Unauthorized):
        headers["WWW-Authenticate"] = 'Bearer realm="homing"'
    # ASCII, since a message may quote text that is no valid Unicode
    return Response(json.dumps(error.problem()), error.status, headers, media_type=PROBLEM)


def json_path(location: tuple[int | str, ...]) -> str:
    """pydantic's location as a JSON path: ("variants", 0, "weight") → $.variants[0].weight."""
    return "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)


def _from_validation(request: Request, error: RequestValidationError) -> errors.HomingError:
    found = error.errors()
    if any(item["loc"] == ("body",) and isinstance(item["input"], bytes) for item in found):  # was not read as JSON
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        sent = f"as {kind}" if kind else "without a Content-Type"
        detail = f"The body came {sent}: send JSON, with the header `Content-Type: application/json`."
        return errors.BadRequest(detail, code="not_json")
    if any(item["type"] == "json_invalid" for item in found):
        return errors.BadRequest("The body is not JSON. Check for a missing quote or comma.", code="malformed_json")
    faults = []
    for item in found:
        place, *rest = item["loc"]
        path = json_path(tuple(rest)) if place == "body" else f"{place}:{'.'.join(str(part) for part in rest)}"
        faults.append(errors.Fault(path, item["msg"], item["type"]))
    return errors.Invalid("Some fields are not as the API wants them; `errors` names each.", faults=faults)


def _from_http(error: HTTPException) -> errors.HomingError:
    if error.status_code == 405:
        known: errors.HomingError = errors.BadRequest("This path does not take that method.", code="method_not_allowed")
        known.status = 405  # type: ignore[misc]
        return known
    if error.status_code == 404:
        return errors.NotFound("There is nothing at this path.", code="no_such_path")
    if error.status_code == 400:  # what the JSON reader gives up at
        return errors.BadRequest("The body cannot be read: its JSON is nested too deep, or holds a number too long.")
    known = errors.BadRequest(str(error.detail))
    known.status = error.status_code  # type: ignore[misc]
    return known


def install_error_handlers(app: FastAPI) -> None:
    """Turn every exception into problem details, in this one place."""

    def homing(_request: Request, error: Any) -> Response:
        return problem_response(error)

    def validation(request: Request, error: Any) -> Response:
        return problem_response(_from_validation(request, error))

    def http(_request: Request, error: Any) -> Response:
        return problem_response(_from_http(error))

    def data(_request: Request, error: Any) -> Response:
        return problem_response(database_error(error))

    def internal(_request: Request, _error: Exception) -> Response:
        # Starlette raises it again after this answer, so that the server logs it with its traceback.
        return problem_response(errors.HomingError("Something broke on our side and was logged; try again later."))

    app.add_exception_handler(errors.HomingError, homing)
    app.add_exception_handler(RequestValidationError, validation)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, internal)
    app.add_exception_handler(DBAPIError, data)
    app.add_exception_handler(psycopg.Error, data)  # from statements written by hand
    app.add_exception_handler(PoolTimeout, data)
    app.add_exception_handler(UnicodeEncodeError, data)


def database_error(error: Exception) -> errors.HomingError:
    """What a caller is told of a database error: down (503, try again), contradiction (409), or bad text (422)."""
    if isinstance(error, (*_DOWN, PoolTimeout)):
        return errors.Unavailable("The database does not answer; try again in a moment.", retry_after=2)
    if isinstance(error, (IntegrityError, psycopg.IntegrityError)):
        return errors.Conflict("This contradicts what is already stored; read the object again and retry.")
    if isinstance(error, (DataError, psycopg.DataError, UnicodeEncodeError)):
        return errors.Invalid(
            "A value cannot be stored: text must be valid Unicode without NUL, numbers within their range.",
            code="unstorable_value",
        )
    raise error
