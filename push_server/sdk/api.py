"""GET /sdk.js, /sw.js and /v1/sdk/config: what a shop's page loads from us."""

import hashlib
from typing import Annotated, Any

from fastapi import Query, Request, Response

from push_server.http import router as new_router
from push_server.http import session_of
from push_server.sdk.assets import accepts_gzip, asset, matches
from push_server.sdk.config import SdkConfig, describe
from push_server.sites.access import browser_caller

router = new_router("sdk")

# A day: as long as browsers at most keep an imported worker script. After it the ETag saves the transfer.
FILE_CACHING = "public, max-age=86400, stale-while-revalidate=604800"
CONFIG_CACHING = "public, max-age=60"  # a changed site is told to its visitors within a minute

SCRIPT: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/javascript": {}}, "description": "The script"},
    304: {"description": "Not changed"},
}


@router.head("/sdk.js", include_in_schema=False)
@router.get("/sdk.js", response_class=Response, responses=SCRIPT)
def page_sdk(request: Request) -> Response:
    """The page's part of the SDK."""
    return _file(request, "sdk.js")


@router.head("/sw.js", include_in_schema=False)
@router.get("/sw.js", response_class=Response, responses=SCRIPT)
def worker(request: Request) -> Response:
    """The service worker's part, for the shop's own worker to import."""
    return _file(request, "sw.js")


@router.head("/v1/sdk/config", include_in_schema=False)
@router.get("/v1/sdk/config", response_model=SdkConfig, responses={304: {"description": "Not changed"}})
def configuration(
    request: Request, key: Annotated[str, Query(description="the site's public key, pk_…", max_length=200)]
) -> Response:
    """What the SDK must know of the site: its VAPID key and the prompt's texts."""
    principal = browser_caller(request, key)
    body = describe(session_of(request), principal.site).model_dump_json().encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"Cache-Control": CONFIG_CACHING, "ETag": etag, "Vary": "Origin, Authorization"}
    if matches(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type="application/json")


def _file(request: Request, name: str) -> Response:
    file = asset(name)
    packed = accepts_gzip(request.headers.get("accept-encoding", ""))
    chosen = file.gzip if packed else file.plain
    headers = {
        "Cache-Control": FILE_CACHING,
        "ETag": chosen.etag,
        "Vary": "Accept-Encoding",
        "Access-Control-Allow-Origin": "*",  # integrity checks and error details need it
        "Cross-Origin-Resource-Policy": "cross-origin",  # shops under COEP: require-corp load it too
        "X-Content-Type-Options": "nosniff",
    }
    if matches(request.headers.get("if-none-match"), chosen.etag):
        return Response(status_code=304, headers=headers)
    if packed:
        headers["Content-Encoding"] = "gzip"
    return Response(chosen.body, headers=headers, media_type="text/javascript")
