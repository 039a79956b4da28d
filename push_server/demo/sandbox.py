"""The demo's push service: RFC 8030 towards the application server, and the browsers behind it in the same process.

`POST /browsers` lets browsers in (the private way, as a user agent reaches its push service), `POST /push/{token}`
takes push messages. What it answers 201 for is in its journal first, so it may be killed at any time.
"""

import argparse
from datetime import UTC, datetime
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from push_server.demo import journal
from push_server.demo.browsers import Browser, delivery_of
from push_server.demo.push_service import check_push
from push_server.security import unb64url


class Sandbox:
    """The push service's state: what the journal says, and nothing else."""

    def __init__(self, path: Path, origin: str) -> None:
        self.origin = origin
        self.browsers: dict[str, Browser] = {}
        for entry in journal.read(path):
            if "browser" in entry:
                self._admit(Browser.from_dict(entry["browser"]))
            elif "shown" in entry:
                self.browsers[entry["token"]].shown.add(entry["shown"])
        self.journal = journal.Journal(path)
        self.received = 0

    def app(self) -> Starlette:
        """The HTTP side."""
        return Starlette(
            routes=[
                Route("/healthz", self._healthz),
                Route("/browsers", self._subscribe, methods=["POST"]),
                Route("/push/{token}", self._push, methods=["POST"]),
            ]
        )

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"browsers": len(self.browsers)})

    async def _subscribe(self, request: Request) -> Response:
        coming = [Browser.from_dict(stored) for stored in (await request.json())["browsers"]]
        fresh = [browser for browser in coming if browser.token not in self.browsers]
        self.journal.append(*({"browser": browser.as_dict()} for browser in fresh))
        for browser in fresh:
            self._admit(browser)
        return JSONResponse({"browsers": len(self.browsers)})

    async def _push(self, request: Request) -> Response:
        browser = self.browsers.get(request.path_params["token"])
        if browser is None:
            return JSONResponse({"code": "unknown_subscription"}, 404)
        body = await request.body()
        rejection = check_push(
            request.headers,
            body,
            origin=self.origin,
            application_server_key=unb64url(browser.application_server_key),
            now=datetime.now(UTC),
        )
        if rejection:
            self.journal.append({"token": browser.token, "rejected": rejection.code})
            return JSONResponse({"code": rejection.code, "detail": rejection.detail}, rejection.status)
        self.received += 1
        self._arrive(browser, body)
        return Response(status_code=201, headers={"Location": f"{self.origin}/message/{self.received}"})

    def _arrive(self, browser: Browser, body: bytes) -> None:
        payload = browser.open(body)
        if payload is None:
            self.journal.append({"token": browser.token, "unreadable": len(body)})
            return
        delivery = delivery_of(payload)
        if delivery in browser.shown:
            self.journal.append({"token": browser.token, "again": delivery})
            return
        self.journal.append({"token": browser.token, "shown": delivery, "payload": payload})
        browser.shown.add(delivery)

    def _admit(self, browser: Browser) -> None:
        self.browsers[browser.token] = browser


def main() -> None:
    """`python -m push_server.demo.sandbox --port P --journal FILE`"""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    arguments = parser.parse_args()
    sandbox = Sandbox(arguments.journal, f"http://127.0.0.1:{arguments.port}")
    uvicorn.run(sandbox.app(), host="127.0.0.1", port=arguments.port, log_level="warning", lifespan="off")


if __name__ == "__main__":
    main()
