"""Routes that browsers call.

A page that sends `application/json` to another origin costs a preflight; `text/plain`, which is what the SDK and
`sendBeacon` send, does not. So the body of these routes is JSON whatever it calls itself. Preflights, where there is
one, are answered in cors.py.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response

from push_server.http import FAULTS, TransactionRoute


class BrowserRoute(TransactionRoute):
    """A transaction whose body is read as JSON under any content type."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handle = super().get_route_handler()

        async def run(request: Request) -> Response:
            headers: list[Any] = [pair for pair in request.scope["headers"] if pair[0] != b"content-type"]
            headers.append((b"content-type", b"application/json"))
            return await handle(Request({**request.scope, "headers": headers}, request.receive))

        return run


def browser_router(tag: str) -> APIRouter:
    """A router of such routes."""
    return APIRouter(tags=[tag], route_class=BrowserRoute, responses=FAULTS)
