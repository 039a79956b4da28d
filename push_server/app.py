"""The FastAPI application: routers in, errors out."""

from fastapi import FastAPI

from push_server import __version__
from push_server.http import install_error_handlers
from push_server.wiring import routers


def create_app() -> FastAPI:
    """The application of one API process."""
    app = FastAPI(title="Homing", version=__version__, summary="Web push and segmentation for online shops")
    install_error_handlers(app)
    for router in routers():
        app.include_router(router)
    return app
