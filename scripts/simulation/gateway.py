"""One address for S3, Batch and DynamoDB, which records every request with its caller."""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from tests.parts.aws import Credentials

_FORWARDED = re.compile(r"connection|content-length|transfer-encoding|date|server", re.IGNORECASE)
"""Headers of an answer that are not forwarded, because the next hop writes its own."""
CREDENTIALS_PATH = "/credentials/"
"""Followed by the name of the caller: where a container gets the credentials of its role, as from ECS's agent."""
_BATCH = {"submitjob": "SubmitJob", "describejobs": "DescribeJobs", "listjobs": "ListJobs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request, in the words of AWS's documentation."""

    caller: str
    """AWS_SDK_UA_APP_ID of the process; boto3 writes it into the User-Agent."""
    service: str
    operation: str
    key: str = ""
    """The key of an object, if the request has one."""


class CallerGoneError(Exception):
    """The calling process has ended, and nobody waits for an answer."""


Intercept = Callable[[Call, Callable[[], Iterable[bytes]]], Iterable[bytes]]
"""Called with each request of a caller and a function that answers it."""


@dataclass(slots=True)
class Gateway:
    """A WSGI application in front of moto and DynamoDB Local."""

    dynamodb: str
    """The address of DynamoDB Local, such as `127.0.0.1:8000`."""
    credentials: Credentials
    """Those that containers are given."""
    calls: list[Call] = field(default_factory=list)
    intercepts: dict[str, Intercept] = field(default_factory=dict)
    """By caller."""
    allows: Callable[[Call], bool] | None = None
    """Decides which requests are served; the others are denied as AWS denies them. None allows all."""
    moto: Any = field(default_factory=lambda: DomainDispatcherApplication(create_backend_app))

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ, populate_request=False)
        if request.path.startswith(CREDENTIALS_PATH):
            caller = request.path.removeprefix(CREDENTIALS_PATH)
            self.calls.append(Call(caller=caller, service="ecs", operation="GetCredentials"))
            return _role(self.credentials)(environ, start_response)
        call = _call(request)
        self.calls.append(call)

        def serve() -> Iterable[bytes]:
            if self.allows and not self.allows(call):
                return _denied(call)(environ, start_response)
            if call.service == "dynamodb":
                return self._forward(request)(environ, start_response)
            answer: Iterable[bytes] = self.moto(environ, start_response)
            return answer

        try:
            intercept = self.intercepts.get(call.caller)
            return intercept(call, serve) if intercept else serve()
        except CallerGoneError:
            return Response(status=503)(environ, start_response)

    def _forward(self, request: Request) -> Response:
        connection = http.client.HTTPConnection(self.dynamodb, timeout=60)
        try:
            connection.request(request.method, request.path, request.get_data(), dict(request.headers))
            answer = connection.getresponse()
            headers = [(name, value) for name, value in answer.getheaders() if not _FORWARDED.fullmatch(name)]
            return Response(answer.read(), answer.status, headers)
        finally:
            connection.close()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve within the block, and yield the address."""
        server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Quiet)
        thread = threading.Thread(target=server.serve_forever, name="gateway", daemon=True)
        thread.start()
        try:
            endpoint = f"http://127.0.0.1:{server.server_port}"
            _post_json(endpoint, "/moto-api/config", {"batch": {"use_docker": False}})
            yield endpoint
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Quiet(MotoRequestHandler):
    """Prints nothing for each request."""

    def log(self, type: str, message: str, *args: Any) -> None: ...


def _call(request: Request) -> Call:
    caller = re.search(r"\bapp/(\S+)", request.headers.get("User-Agent", ""))
    scope = re.search(r"Credential=[^/]+/[^/]+/[^/]+/([^/]+)/", request.headers.get("Authorization", ""))
    service = scope[1] if scope else "other"
    operation, key = request.path, ""
    if service == "dynamodb":
        operation = request.headers.get("X-Amz-Target", "").rpartition(".")[2]
    elif service == "batch":
        operation = _BATCH.get(request.path.rpartition("/")[2], request.path)
    elif service == "s3":
        key = request.path.lstrip("/").partition("/")[2]
        operation = _s3_operation(request, key)
    return Call(caller=caller[1] if caller else "", service=service, operation=operation, key=key)


def _role(credentials: Credentials) -> Response:
    """Return the credentials of a role, which are temporary, as ECS's agent does."""
    found = {
        "AccessKeyId": credentials.access_key,
        "SecretAccessKey": credentials.secret_key,
        "Token": "of-this-session",
        "Expiration": f"{datetime.now(UTC) + timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}",
    }
    return Response(json.dumps(found), content_type="application/json")


def _denied(call: Call) -> Response:
    """Return the answer of a service to a request that no policy allows."""
    message = f"not authorized to perform {call.service}:{call.operation}"
    if call.service == "s3":
        body = f"<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>"
        return Response(body, 403, content_type="application/xml")
    error = {"__type": "AccessDeniedException", "message": message}
    headers = {"x-amzn-errortype": "AccessDeniedException"}
    status = 400 if call.service == "dynamodb" else 403
    return Response(json.dumps(error), status, headers, content_type="application/x-amz-json-1.0")


def _s3_operation(request: Request, key: str) -> str:
    if "list-type" in parse_qs(request.query_string.decode()):
        return "ListObjectsV2"
    if request.method == "PUT" and "X-Amz-Copy-Source" in request.headers:
        return "CopyObject"
    return f"{request.method.capitalize()}{'Object' if key else 'Bucket'}"


def _post_json(endpoint: str, path: str, value: object) -> None:
    connection = http.client.HTTPConnection(endpoint.removeprefix("http://"), timeout=10)
    connection.request("POST", path, json.dumps(value), {"content-type": "application/json"})
    connection.getresponse().read()
    connection.close()
