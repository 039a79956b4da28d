"""CORS (https://fetch.spec.whatwg.org/#http-cors-protocol): shops' pages may call the browser side of the API.

A preflight carries no key, so it is answered for the origins of any site; the answer to the request itself is readable
only for the origins of the site whose key it carried (a handler leaves them in `request.state.site_origins`). Where
no site was known yet (an unknown key, a body that is no JSON) any site's origin may read the refusal. Management
paths have no CORS at all: a secret key has no business in a page.
"""

import time

from sqlalchemy import func, literal, select
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from push_server.db import Database, database
from push_server.errors import Forbidden
from push_server.http import database_error, problem_response
from push_server.sites.models import Site

BROWSER_PATHS: dict[str, frozenset[str]] = {
    **{f"/v1/{name}": frozenset({"POST"}) for name in ("track", "identify", "page", "alias", "batch", "receipts")},
    "/v1/subscriptions": frozenset({"POST", "DELETE"}),
    "/v1/preferences": frozenset({"GET", "PUT"}),
    "/v1/sdk/config": frozenset({"GET", "HEAD"}),
}
REMEMBERED = 10.0
"""Seconds for which it is remembered whether an origin is some site's."""
MAX_REMEMBERED = 10_000


class Origins:
    """Whether an origin is one of any site's, asked of the database at most every few seconds."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[bool, float]] = {}

    async def known(self, origin: str) -> bool:
        """Whether some site has this origin."""
        found, until = self._known.get(origin, (False, 0.0))
        if time.monotonic() < until:
            return found
        found = await run_in_threadpool(_is_known, database(), origin)
        if len(self._known) >= MAX_REMEMBERED:  # whoever invents origins only empties the memory
            self._known.clear()
        self._known[origin] = (found, time.monotonic() + REMEMBERED)
        return found


def _is_known(database: Database, origin: str) -> bool:
    with database.engine.connect() as connection:
        statement = select(literal(1)).select_from(Site).where(func.array_position(Site.origins, origin).is_not(None))
        return connection.execute(statement.limit(1)).first() is not None


class BrowserCors:
    """The middleware; it goes around the whole application and minds the browser side only."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._origins = Origins()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        methods = BROWSER_PATHS.get(scope["path"]) if scope["type"] == "http" else None
        if methods is None:
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if scope["method"] == "OPTIONS" and origin is not None and "access-control-request-method" in headers:
            answer = await self._preflight(origin, methods)
            return await answer(scope, receive, send)
        if scope["method"] not in methods:
            return await self.app(scope, receive, send)
        state = scope.setdefault("state", {})

        async def send_with_cors(message: Message) -> None:
            if message["type"] == "http.response.start":
                allowed = origin is not None and await self._readable(origin, state.get("site_origins"))
                out = MutableHeaders(scope=message)
                out.add_vary_header("Origin")
                if allowed and origin is not None:
                    out["Access-Control-Allow-Origin"] = origin
                    out["Access-Control-Expose-Headers"] = "Retry-After"
            await send(message)

        await self.app(scope, receive, send_with_cors)

    async def _readable(self, origin: str, site_origins: list[str] | None) -> bool:
        if site_origins is not None:
            return origin.lower() in site_origins
        try:
            return await self._origins.known(origin.lower())
        except SQLAlchemyError:
            return False

    async def _preflight(self, origin: str, methods: frozenset[str]) -> Response:
        try:
            known = await self._origins.known(origin.lower())
        except SQLAlchemyError as error:
            return problem_response(database_error(error))
        if not known:
            answer = problem_response(
                Forbidden(
                    f"Origin {origin} belongs to no site here. Add it to your site's origins.",
                    code="origin_not_allowed",
                )
            )
        else:
            answer = Response(status_code=204)
            answer.headers["Access-Control-Allow-Origin"] = origin
            answer.headers["Access-Control-Allow-Methods"] = ", ".join(sorted(methods))
            answer.headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, Idempotency-Key"
            answer.headers["Access-Control-Max-Age"] = "7200"
        answer.headers["Vary"] = "Origin"
        return answer
