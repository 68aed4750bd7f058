"""A real HTTP server on loopback that takes messages, refuses them, or never answers."""

from __future__ import annotations

import http.server
import json
import threading
from typing import Any


class Receiver:
    """Takes what Apprise's `json://` sends."""

    def __init__(self, answer: int = 200, *, hangs: bool = False) -> None:
        self.got: list[dict[str, Any]] = []
        self.came = threading.Event()
        self._let_go = threading.Event()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.got.append({**data, "path": self.path})
                receiver.came.set()
                if hangs:
                    receiver._let_go.wait(60)
                self.send_response(answer)
                self.end_headers()

            def log_message(self, *_: object) -> None: ...

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def url(self, path: str = "hook") -> str:
        return f"json://127.0.0.1:{self._server.server_port}/{path}"

    def texts(self) -> list[str]:
        return [message["message"] for message in self.got]

    def __enter__(self) -> Receiver:
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)
