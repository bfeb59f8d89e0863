"""An S3 that only lists: made-up keys, answered after a fixed latency, in a process of its own.

python -m tests.submitter.listing_server PORT COUNT LATENCY_SECONDS LAYOUT
"""

from __future__ import annotations

import hashlib
import sys
import time
from bisect import bisect_right
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.submitter.fake_aws import entry_xml, listing_place, wrapped

LAYOUTS: dict[str, Callable[[int], str]] = {
    "numbers": lambda number: f"images/{number:012d}.jpg",
    "folders": lambda number: f"images/{number // 10_000:04d}/{number % 10_000:06d}.jpg",
    "hashes": lambda number: f"images/{hashlib.md5(str(number).encode()).hexdigest()}.jpg",
    "days": lambda number: f"images/2026/{number // 42_000 + 1:02d}/{number // 1500 % 28 + 1:02d}/IMG_{number}.JPG",
}
"""How keys are often named."""


class Server(ThreadingHTTPServer):
    """Keeps connections, as S3 does."""

    daemon_threads = True
    request_queue_size = 64


def handler(keys: list[str], latency: float) -> type[BaseHTTPRequestHandler]:
    entries = [entry_xml(key, b"") for key in keys]

    class Listing(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            time.sleep(latency)
            prefix, after, size = listing_place(self.path)
            assert prefix == "images/"
            first = bisect_right(keys, after)
            last = min(first + size, len(keys))
            body = wrapped(entries[first:last], token=keys[last - 1] if last < len(keys) else None)
            self.send_response(200)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing for each request."""

    return Listing


if __name__ == "__main__":
    port, count, latency, layout = sys.argv[1:]
    made = sorted({LAYOUTS[layout](number) for number in range(int(count))})
    with Server(("127.0.0.1", int(port)), handler(made, float(latency))) as server:
        server.serve_forever()
