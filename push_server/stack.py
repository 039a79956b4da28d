"""All of Homing on one machine: the servers of a home, the API, workers and the scheduler, under one supervisor.

    with Stack(Home(path), port=8000) as stack:            # up, or StartupError
        stack.supervisor.add(Child("sandbox", command))    # one more process, kept alive like the others
        stack.supervisor.pids()                            # {"postgres": 4711, …, "sandbox": 4720}

While it is up, HOMING_* of this process name what was started, so that `database()` and `settings()` work here too.
"""

import http.client
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Self

from push_server.embedded.home import Home, Running, started
from push_server.embedded.process import Command, listen
from push_server.errors import StartupError
from push_server.servers import environment, provide_database, provide_redis, provide_secret_key, use
from push_server.settings import settings
from push_server.supervisor import Child, Supervisor

API, WORKERS = 1, 2
"""Stages: workers end first, then the API, then the servers."""
PROGRAM = (
    sys.executable,
    "-P",
    "-m",
    "push_server",
)  # -P: no module of the working directory stands in for one of ours


class Stack:
    """One machine's Homing. `variables` go into the environment of its processes; `quiet`: they log to HOME/log.

    `program`: what a process runs, before the name of its part; for who starts ours by a clock of his own.
    """

    def __init__(
        self,
        home: Home,
        *,
        host: str = "127.0.0.1",
        port: int = 8000,
        workers: int = 2,
        variables: Mapping[str, str] | None = None,
        quiet: bool = False,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.home = home
        self.host = host
        self.port = port
        self.workers = workers
        self.variables = variables or {}
        self.quiet = quiet
        self.program = program
        self.supervisor = Supervisor(self._write_down)
        self._running = Running(os.getpid())
        self._undo = ExitStack()

    @property
    def url(self) -> str:
        """Where the API is; with port 0 known once started."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    def start(self) -> None:
        """Bring everything up, in order; StartupError, with nothing left running, when that cannot be."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything: workers finish their chunk, then the API its requests, then the servers."""
        self.supervisor.stop()
        self._undo.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _start(self) -> None:
        if not self.home.lock(wait=15, give_up=lambda running: running.url is not None):
            raise self._already_up()
        self._undo.callback(self.home.unlock)
        self.home.end_leftovers()
        listener = self._undo.enter_context(listen(self.host, self.port))
        self.port = listener.getsockname()[1]
        self._running.url = self.url
        self.home.write_running(self._running)
        self._undo.enter_context(environment(self.variables))
        if "HOMING_PUBLIC_URL" not in os.environ:
            use({"HOMING_PUBLIC_URL": self.url})
        provide_secret_key(self.home, create=True)
        provide_redis(self.home, self.supervisor)
        provide_database(self.home, self.supervisor)
        known = settings()
        self._running.database_url, self._running.redis_url = known.database_url, known.redis_url
        number = listener.fileno()
        self._add("api", API, "serve", "--fd", str(number), ready=self._answers, pass_fds=(number,))
        for index in range(self.workers):
            self._add(f"worker-{index + 1}", WORKERS, "worker")
        self._add("scheduler", WORKERS, "scheduler")
        self.supervisor.await_ready("api")
        self._running.ready = True
        self._write_down(self.supervisor.pids())

    def _add(
        self,
        name: str,
        stage: int,
        *arguments: str,
        ready: Callable[[], bool] | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        command = Command([*self.program, *arguments])
        log = self.home.log(name) if self.quiet else None
        self.supervisor.add(Child(name, command, stage, ready, log=log, pass_fds=pass_fds), wait=False)

    def _answers(self) -> bool:
        host = self.url.removeprefix("http://").rpartition(":")[0].strip("[]")
        connection = http.client.HTTPConnection(host, self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _write_down(self, pids: dict[str, int]) -> None:
        self._running.processes = {name: [str(pid), started(pid) or ""] for name, pid in pids.items()}
        self.home.write_running(self._running)

    def _already_up(self) -> StartupError:
        running = self.home.running()
        if running is None or running.url is None:
            return StartupError(
                f"Another process works in {self.home.directory}. Try again in a moment.", code="home_busy"
            )
        return StartupError(
            f"Homing is already up on {self.home.directory}: {running.url}, process {running.pid}. Use that one, end "
            f"it with `kill {running.pid}`, or set HOMING_HOME to another directory for a second one.",
            code="already_up",
        )
