"""Lambda: runs a function's process with AWS's own runtime client, against the Runtime API that it expects.

The API is small: the process asks for the next invocation and posts its result.
https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_PREFIX = "/2018-06-01/runtime"
TIMEOUT_SECONDS = 900
"""The longest that Lambda allows, and the function's timeout."""
_LOOK_SECONDS = 0.1


class FunctionError(Exception):
    """The function raised, or its process ended. The message is Lambda's answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One event that is being handled."""

    event: object
    request_id: str
    answers: queue.SimpleQueue[tuple[str, Any]] = field(default_factory=queue.SimpleQueue)
    """Receives one pair: `response` or `error`, and its JSON."""


@dataclass(slots=True)
class Function:
    """A Lambda function that handles one event at a time, as each of Lambda's processes does."""

    process: subprocess.Popen[bytes]
    log: Path
    waiting: queue.SimpleQueue[Invocation]

    def invoke(self, event: object, *, request_id: str | None = None) -> Any:
        """Invoke the handler and return its answer.

        Args:
            request_id: the id of an earlier invocation, to deliver its event again as AWS may do.

        Raises:
            FunctionError: the handler raised.
        """
        invocation = Invocation(event=event, request_id=request_id or str(uuid.uuid4()))
        self.waiting.put(invocation)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while time.monotonic() < deadline:
            try:
                kind, answer = invocation.answers.get(timeout=_LOOK_SECONDS)
            except queue.Empty:
                if self.process.poll() is None:
                    continue
                said = self.log.read_text(errors="replace")[-4000:]
                raise FunctionError(f"the runtime exited with {self.process.returncode}. It said:\n{said}") from None
            if kind == "error":
                raise FunctionError(f"{answer.get('errorType')}: {answer.get('errorMessage')}")
            return answer
        raise FunctionError(f"Task timed out after {TIMEOUT_SECONDS} seconds")


@contextmanager
def serving(handler: str, code: Path, environment: Mapping[str, str], log: Path) -> Iterator[Function]:
    """Start a function. Its process and its API end with the block.

    Args:
        handler: Lambda's name of it, `package.module.function`.
        code: the unpacked deployment package; besides it the process has only boto3.
        environment: the whole environment.
        log: receives what CloudWatch would.
    """
    waiting: queue.SimpleQueue[Invocation] = queue.SimpleQueue()
    server = _Server(("127.0.0.1", 0), _api(waiting))
    thread = threading.Thread(target=server.serve_forever, name="runtime-api", daemon=True)
    thread.start()
    variables = {
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{server.server_port}",
        "AWS_LAMBDA_FUNCTION_NAME": "submitter",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/submitter",
        "AWS_LAMBDA_LOG_STREAM_NAME": "simulation",
        "LAMBDA_TASK_ROOT": str(code),
        "_HANDLER": handler,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "awslambdaric", handler],
            cwd=code,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Function(process=process, log=log, waiting=waiting)
    finally:
        process.kill()
        process.wait()
        server.shutdown()
        thread.join()
        server.server_close()


class _Server(ThreadingHTTPServer):
    """Its last thread waits for an event that never comes, until the process that it serves is killed."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _api(waiting: queue.SimpleQueue[Invocation]) -> type[BaseHTTPRequestHandler]:
    """Return the handler class of one function's API."""
    under_way: dict[str, Invocation] = {}

    class Api(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path != f"{_PREFIX}/invocation/next":
                self._answer(404, b"{}")
                return
            invocation = waiting.get()
            under_way[invocation.request_id] = invocation
            self._answer(
                200,
                json.dumps(invocation.event).encode(),
                {
                    "Lambda-Runtime-Aws-Request-Id": invocation.request_id,
                    "Lambda-Runtime-Deadline-Ms": str(round((time.time() + TIMEOUT_SECONDS) * 1000)),
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:us-east-1:123456789012:function:submitter",
                    "Lambda-Runtime-Trace-Id": "Root=1-00000000-000000000000000000000000;Sampled=0",
                },
            )

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
            *_, name, kind = self.path.split("/")
            self._answer(202, b'{"status": "OK"}')
            if name == "init":  # the handler cannot be imported, so nobody asks for the next event
                waiting.get().answers.put(("error", body))
            else:
                under_way.pop(name).answers.put((kind, body))

        def _answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
            self.send_response(status)
            for header, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(header, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Print nothing for each request."""

    return Api
