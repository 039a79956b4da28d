"""A push service over plain HTTP that answers as its script says, and keeps what arrived, decrypted."""

import socket
import sys
import threading
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

from tests.doubles.arrivals import Arrivals


@dataclass(frozen=True)
class Answer:
    """A status, with a Retry-After; or no answer: the connection is reset."""

    status: int = 201
    retry_after: int | None = None
    reset: bool = False


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256  # else who comes with many connections at once waits a second for the sixth

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that a killed worker left open is no news; anything else is."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class ScriptedPush(Arrivals):
    """`script[token]` holds the answers to come for one subscription; after them, and for the others, `usual`.

    Once `hold_after` messages have arrived, every further request waits for `release`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.script: dict[str, deque[Answer]] = defaultdict(deque)
        self.usual = Answer()
        self.asked: Counter[str] = Counter()
        self.hold_after: int | None = None
        self.waiting = threading.Semaphore(0)
        self.release = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "ScriptedPush":
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def hang_up(self) -> None:
        """Nobody listens from now on."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def answer_again(self) -> None:
        """Listen where it did before."""
        self._server = _Server(("127.0.0.1", int(self.origin.rpartition(":")[2])), _handler(self))
        self.__enter__()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.release.set()
        self.hang_up()

    def answer(self, token: str, headers: dict[str, str], body: bytes) -> Answer:
        """What to say to a request; one that no push service would take is refused with 400."""
        with self._lock:
            self.asked[token] += 1
            answer = self.script[token].popleft() if self.script[token] else self.usual
        arrived = self.read(self.origin, token, headers, body)
        if arrived is None:
            return Answer(400)
        if self.hold_after is not None and len(self.arrived) >= self.hold_after:
            self.waiting.release()
            self.release.wait(120)
        if answer.status == 201 and not answer.reset:
            self.arrived.append(arrived)
        return answer


def _handler(service: ScriptedPush) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = service.answer(self.path.rpartition("/")[2], headers, body)
            if answer.reset:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            try:
                self.send_response(answer.status)
                if answer.retry_after is not None:
                    self.send_header("Retry-After", str(answer.retry_after))
                self.send_header("Content-Length", "0")
                self.end_headers()
            except OSError:
                pass  # whoever asked is gone

        def log_message(self, *_: object) -> None:
            """Quiet."""

    return Handler
