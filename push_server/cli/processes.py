"""The processes: serve, worker, scheduler, migrate."""

import signal
from typing import Annotated

import typer

from push_server import log
from push_server.db import database
from push_server.embedded.process import listen
from push_server.settings import settings

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on.", min=0, max=65535)]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (serve, worker, scheduler, migrate):
        app.command()(command)


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
) -> None:
    """Run the API alone."""
    from push_server.app import run

    _prepare("serve")
    run(listen(host, port))


def worker() -> None:
    """Run one worker: it plans and sends."""
    from push_server.worker import run

    _prepare("worker")
    run()


def scheduler() -> None:
    """Run the scheduler; of several, one leads and the others wait."""
    from push_server.scheduler import Scheduler
    from push_server.wiring import ticks

    _prepare("scheduler")
    process = Scheduler(database(), ticks())
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.stop())
    process.run()


def migrate() -> None:
    """Bring the database's schema to this version."""
    from push_server.migrations import upgrade

    log.configure("migrate", settings().log_level)
    upgrade(database())


def _prepare(process: str) -> None:
    known = settings()
    log.configure(process, known.log_level)
    known.require_secret_key()
    known.require_database_url()
    known.require_redis_url()
