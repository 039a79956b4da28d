"""`POST /v1/{track,identify,page,alias,batch}`: Segment's HTTP Tracking API, answered once committed.

The hot path: plain ASGI under FastAPI's router, without dependency injection or pydantic. A key and its site are
looked up at most once a second and process.
"""

import asyncio
import hashlib
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Send
from starlette.types import Scope as Connection

from push_server import clock, errors
from push_server.db import database
from push_server.events import schema
from push_server.events.commit import Submission
from push_server.events.intake import Item, accept, micros_since_epoch
from push_server.events.wire import MAX_BATCH, MAX_EVENT, decode, write_key
from push_server.events.writer import PATIENCE, Writer
from push_server.sites.access import Principal, check_origin, credentials, resolve
from push_server.sites.models import Scope

KEY_SECONDS = 1.0
"""How long a key's site and scopes are remembered."""
_STALE_SECONDS = 30.0
_SUCCESS = b'{"success":true}'


class Ingest:
    """What one application's ingest keeps: its writer, and the keys seen lately."""

    def __init__(self) -> None:
        self.writer = Writer(database().url)
        self._keys: dict[str, tuple[Principal, float]] = {}
        self._asking: dict[str, asyncio.Future[Principal]] = {}

    async def principal(self, key: str) -> Principal:
        """The caller behind a key. One question at a time and key; the last answer stands in for a silent database."""
        known = self._keys.get(key)
        if known is not None and time.monotonic() - known[1] < KEY_SECONDS:
            return known[0]
        asked = self._asking.get(key)
        if asked is None or asked.get_loop() is not asyncio.get_running_loop():
            asked = self._asking[key] = asyncio.ensure_future(run_in_threadpool(_look_up, key))
        try:
            found = await asyncio.shield(asked)
        except errors.HomingError:
            self._keys.pop(key, None)
            raise
        except Exception:
            if known is not None and time.monotonic() - known[1] < _STALE_SECONDS:
                return known[0]
            raise
        finally:
            if self._asking.get(key) is asked:
                del self._asking[key]
        if len(self._keys) > 10_000:
            self._keys.clear()
        self._keys[key] = (found, time.monotonic())
        return found


def _look_up(key: str) -> Principal:
    with database().session() as session:
        return resolve(session, key)


def _ingest_of(app: FastAPI) -> Ingest:
    found: Ingest | None = getattr(app.state, "ingest", None)
    if found is None:
        found = app.state.ingest = Ingest()
    return found


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """At the end of the application the writer commits what it still holds."""
    yield
    ingest: Ingest | None = getattr(app.state, "ingest", None)
    if ingest is not None:
        await run_in_threadpool(ingest.writer.close)


class DirectRoute(APIRoute):
    """In the OpenAPI document like any other route, but its endpoint is called with nothing in between."""

    async def handle(self, scope: Connection, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            response = await self.endpoint(Request(scope, receive))
            await response(scope, receive, send)
        else:
            await super().handle(scope, receive, send)


router = APIRouter(tags=["ingest"], route_class=DirectRoute, lifespan=_lifespan)


async def _take(request: Request, kind: str) -> Response:
    """Read, check, hand to the writer, and answer once it has committed."""
    ingest = _ingest_of(request.app)
    sent = await _body(request, MAX_BATCH if kind == "batch" else MAX_EVENT)
    body = _unpacked(request, sent, MAX_BATCH if kind == "batch" else MAX_EVENT)
    key = credentials(request) or write_key(body)
    if key is None:
        raise errors.Unauthorized(
            "Send the site's key: Basic `pk_…:`, `Authorization: Bearer sk_…`, or `writeKey` in the body.",
            code="no_key",
        )
    principal = await ingest.principal(key)
    request.state.site_origins = principal.site.origins
    check_origin(request, principal.site)
    if principal.secret and not principal.allows(Scope.EVENTS_WRITE):
        raise errors.Forbidden(f"This key lacks the scope {Scope.EVENTS_WRITE}.", code="scope_missing")
    received = micros_since_epoch(clock.now())
    items = accept(decode(body, kind), body, kind, principal, received)
    if items:
        await _stored(ingest.writer, request, principal, items, received, sent)
    return Response(_SUCCESS, media_type="application/json")


async def _stored(
    writer: Writer, request: Request, principal: Principal, items: list[Item], received: int, sent: bytes
) -> None:
    loop = asyncio.get_running_loop()
    assert principal.site.id is not None
    until = time.monotonic() + PATIENCE
    submission = Submission(principal.site.id, items, received, len(sent), loop, loop.create_future(), until)
    idempotency_key = request.headers.get("idempotency-key")
    if idempotency_key is not None:
        if not 1 <= len(idempotency_key) <= 255 or not idempotency_key.isprintable():
            raise errors.BadRequest("Idempotency-Key takes 1 to 255 printable characters.", code="bad_idempotency_key")
        submission.idempotency_key = idempotency_key
        submission.fingerprint = hashlib.sha256(f"POST {request.url.path}\n".encode() + sent).digest()
    writer.submit(submission)
    await submission.done
    if submission.error is not None:
        raise submission.error


async def _body(request: Request, limit: int) -> bytes:
    """The body as sent; 413 as soon as it is known to be over the limit."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > limit:
        raise _too_large(limit)
    parts, size = [], 0
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise _too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def _unpacked(request: Request, body: bytes, limit: int) -> bytes:
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding == "identity":
        return body
    if coding != "gzip":
        raise errors.BadRequest("Content-Encoding may be gzip or nothing.", code="unknown_encoding")
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, limit + 1)
    except zlib.error as error:
        raise errors.BadRequest(f"The body is not gzip: {error}.", code="malformed_gzip") from None
    if len(plain) > limit:
        raise _too_large(limit)
    if not unpacker.eof:
        raise errors.BadRequest("The gzip body ends too early.", code="malformed_gzip")
    return plain


def _too_large(limit: int) -> errors.TooLarge:
    return errors.TooLarge(
        f"The body is over {limit // 1024} KB. An event may have {MAX_EVENT // 1024} KB, a batch {MAX_BATCH // 1024}.",
        code="body_too_large",
    )


def _add(kind: str) -> None:
    async def endpoint(request: Request) -> Response:
        return await _take(request, kind)

    router.add_api_route(f"/v1/{kind}", endpoint, methods=["POST"], name=kind, **schema.operation(kind))


for _kind in schema.KINDS:
    _add(_kind)
