"""The API process: routers in, errors out, on uvicorn."""

import logging
import socket
from contextlib import suppress

import uvicorn
from fastapi import FastAPI

import push_server.tables  # noqa: F401 - foreign keys resolve only once every table is known
from push_server import __version__, health
from push_server.cors import BrowserCors
from push_server.garbage import collect_rarely
from push_server.http import install_error_handlers
from push_server.wiring import routers

log = logging.getLogger(__name__)


def create_app() -> FastAPI:
    """The application of one API process."""
    app = FastAPI(title="Homing", version=__version__, summary="Web push and segmentation for online shops")
    install_error_handlers(app)
    app.add_middleware(BrowserCors)
    for router in (health.router, *routers()):
        app.include_router(router)
    return app


def run(listener: socket.socket) -> None:
    """Serve on a listening socket until SIGTERM or SIGINT, then finish the requests at hand."""
    config = uvicorn.Config(
        create_app(),
        http="httptools",
        loop="uvloop",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=15,
    )
    collect_rarely()
    log.info("serving on %s port %s", *listener.getsockname()[:2])
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal once more when it is done
        uvicorn.Server(config).run([listener])
