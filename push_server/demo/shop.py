"""Serves the demo shop (examples/shop) on an origin of its own, as a shop would be, with the site's key filled in."""

import json
import threading
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from push_server.errors import StartupError


class ShopServer:
    """Static files from `directory` at http://localhost:PORT; `/config.js` says where the server is and the site's key.

    localhost, because browsers count it as secure without a certificate.
    """

    def __init__(self, directory: Path, port: int = 0) -> None:
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), partial(_Handler, directory=str(directory)))
        except OSError as error:
            raise StartupError(
                f"The shop cannot have port {port}: {error.strerror}. Choose another one with --shop-port.",
                code="port_taken",
            ) from None
        self._server.daemon_threads = True
        self._thread: threading.Thread | None = None
        self.origin = f"http://localhost:{self._server.server_port}"

    def start(self, api: str, public_key: str) -> None:
        """Serve from now on, in a thread."""
        config = f"self.HOMING_SHOP = {json.dumps({'api': api, 'key': public_key})};\n"
        self._server.config = config.encode()  # type: ignore[attr-defined]
        self._thread = threading.Thread(target=self._server.serve_forever, name="shop", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and give the port back."""
        if self._thread is not None:  # what does not serve would be waited for without end
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.partition("?")[0] != "/config.js":
            super().do_GET()
            return
        config: bytes = self.server.config  # type: ignore[attr-defined]
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "text/javascript; charset=utf-8")
        self.send_header("Content-Length", str(len(config)))
        self.end_headers()
        self.wfile.write(config)

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Requests are not written to the terminal."""
