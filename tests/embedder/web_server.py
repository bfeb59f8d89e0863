"""A web server that behaves as paths tell it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

from tests.embedder.pictures import jpeg


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: Counter[str] = Counter()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """`/N.jpg` is a picture; other paths are what their names say."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(self.path)
        self.server.asked[path] += 1
        what, _, value = path.strip("/").partition("/")
        match what:
            case "status":
                self.answer(int(value), b"no")
            case "once":  # down for the first request
                self.answer(503 if self.server.asked[path] == 1 else 200, jpeg(5))
            case "to":
                self.answer(302, b"", Location=value)
            case "loop":
                self.answer(302, b"", Location=self.path)
            case "huge":
                self.answer(200, b"", **{"Content-Length": str(10 << 30)})
            case "cut":
                self.answer(200, jpeg()[:100], **{"Content-Length": str(len(jpeg()))})
            case "endless":
                self.send_response(200)
                self.end_headers()
                self.close_connection = True
                for _ in range(2000):
                    self.wfile.write(bytes(1 << 16))
            case "drip":
                self.send_response(200)
                self.end_headers()
                while self.server.asked["stop"] == 0:
                    self.wfile.write(b"x")
                    self.wfile.flush()
                    time.sleep(0.05)
            case _:
                self.answer(200, jpeg(int(what.removesuffix(".jpg"))))

    def answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        if "Content-Length" in headers:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def web_server() -> Iterator[Server]:
    """Serve until the block ends."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.asked["stop"] = 1
            server.shutdown()
            thread.join()
