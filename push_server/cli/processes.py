"""`homing up`, and the parts of it for production: serve, worker, scheduler, migrate."""

import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from push_server import log
from push_server.embedded.home import Home
from push_server.embedded.process import Command, listen
from push_server.errors import StartupError
from push_server.interrupts import interrupts
from push_server.settings import settings
from push_server.supervisor import Child, Supervisor

# Heavy parts are imported by the commands that need them, so that `homing --help` answers at once.

Host = Annotated[str, typer.Option(help="Address to listen on.")]
Port = Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.", min=0, max=65535)]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    for command in (up, serve, worker, scheduler, migrate):
        app.command()(command)


def up(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Annotated[
        int, typer.Option(help="Processes that plan and send.", min=1, max=64, envvar="HOMING_WORKERS")
    ] = 2,
) -> None:
    """Run everything on this machine: PostgreSQL, Valkey, API, workers, scheduler."""
    if any(argument.startswith("--workers") for argument in sys.argv):
        # Worker processes are found by `worker` in their command line; this one must not be taken for one of them.
        os.environ["HOMING_WORKERS"] = str(workers)
        os.execv(  # noqa: S606
            sys.executable, [sys.executable, "-P", "-m", "push_server", "up", "--host", host, "--port", str(port)]
        )
    from sqlmodel import select

    from push_server.db import database
    from push_server.sites.models import Site
    from push_server.stack import Stack

    log.configure("up", settings().log_level)
    stack = Stack(Home(settings().home), host=host, port=port, workers=workers)

    def start() -> None:
        print(f"Starting in {stack.home.directory} …", flush=True)
        stack.start()
        print(f"Homing is up: {stack.url} (API: {stack.url}/docs). Ctrl-C ends it.", flush=True)
        with database().session() as session:
            if session.exec(select(Site.id).limit(1)).first() is None:
                print("There is no site yet. Make one, in another terminal:", flush=True)
                print('  homing site create --name "My shop" --origin https://shop.example', flush=True)

    run_until_asked(stack.supervisor, start, stack.stop)


def serve(
    host: Host = "127.0.0.1",
    port: Port = 8000,
    workers: Annotated[int, typer.Option(help="API processes on this port.", min=1, max=64)] = 1,
    descriptor: Annotated[int | None, typer.Option("--fd", hidden=True)] = None,
) -> None:
    """Run the API alone."""
    prepare("serve")
    listener = listen(host, port) if descriptor is None else socket.socket(fileno=descriptor)
    if workers == 1:
        from push_server.app import run

        return run(listener)
    supervisor = Supervisor()
    number = listener.fileno()
    command = Command([sys.executable, "-P", "-m", "push_server", "serve", "--fd", str(number)])

    def start() -> None:
        for index in range(workers):
            supervisor.add(Child(f"api-{index + 1}", command, pass_fds=(number,)), wait=False)

    run_until_asked(supervisor, start, supervisor.stop)


def worker() -> None:
    """Run one worker: it plans and sends."""
    prepare("worker")
    from push_server.garbage import collect_rarely
    from push_server.worker import run

    collect_rarely()
    run()


def scheduler() -> None:
    """Run the scheduler; of several, one leads and the others wait."""
    prepare("scheduler")
    from push_server.db import database
    from push_server.garbage import collect_rarely
    from push_server.scheduler import Scheduler
    from push_server.wiring import ticks

    process = Scheduler(database(), ticks())
    collect_rarely()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: process.stop())
    process.run()


def migrate() -> None:
    """Bring the database's schema to this version."""
    from push_server import health
    from push_server.db import database
    from push_server.migrations import upgrade

    log.configure("migrate", settings().log_level)
    health.check_database(settings().require_database_url(), schema=False)
    upgrade(database())


def prepare(process: str) -> None:
    """Refuse to start on settings that cannot work. A server that is merely away is waited for later."""
    from push_server import health
    from push_server.database_clock import keep_time
    from push_server.db import database

    known = settings()
    log.configure(process, known.log_level)
    known.require_secret_key()
    known.require_redis_url()
    try:
        health.check_database(known.require_database_url(), schema=True)
        health.check_secret_key(database())
    except StartupError as error:
        if error.code != "database_unreachable":
            raise
        logging.getLogger(__name__).warning("%s", error.detail)
    if known.clock == "database":
        keep_time(database())


def run_until_asked(supervisor: Supervisor, start: Callable[[], None], stop: Callable[[], None]) -> None:
    """`start`, wait for Ctrl-C, SIGTERM or SIGHUP, and `stop`; a second signal cuts the children's grace short."""

    def hurry() -> None:
        supervisor.hurry = True

    with interrupts(again=hurry) as interrupt:
        try:
            start()
            supervisor.wait()
        except BaseException:
            if not interrupt.asked:  # else it is the interrupt, or what became of it inside a library
                raise
            print("Stopping …", flush=True)
        finally:
            interrupt.asked = True  # from here on any signal is a further one
            stop()
