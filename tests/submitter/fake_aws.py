"""S3 and Batch on the wire: boto3 with its signing, parsing and retrying is real, the service is here.

For what moto's server cannot do: keys with newlines, a million of them, arrays of ten thousand, two
submissions that overlap, and a death at any request.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, quote_plus, unquote, urlsplit

from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders

from submitter.clients import Services

BUCKET = "pictures"
PAGE = 1000


class Crash(BaseException):
    """The process dies. Nothing may catch it."""


@dataclass
class Answer:
    """A response before it is wrapped for boto3."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        yield self.body

    def read(self, amount: int | None = None) -> bytes:
        taken, self.body = (
            (self.body, b"") if amount is None or amount < 0 else (self.body[:amount], self.body[amount:])
        )
        return taken


def xml_error(status: int, code: str) -> Answer:
    return Answer(f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode(), status)


@dataclass
class FakeAws:
    """One bucket and one job queue."""

    objects: dict[str, bytes] = field(default_factory=dict)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    """The requests of SubmitJob."""
    unconditional: list[str] = field(default_factory=list)
    """Keys that were put over whatever was there."""
    connections: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def put(self, *keys: str) -> None:
        for key in keys:
            self.objects[key] = b"picture"

    def connect(self, intercept: Callable[[str, Callable[[], Answer]], Answer] | None = None) -> Services:
        """Clients of their own. `intercept` is called with each operation and what would answer it."""
        if self.connections == len(_wires):
            _wires.append(Wire())
        wire = _wires[self.connections]
        self.connections += 1
        wire.fake, wire.intercept = self, intercept
        return wire.services

    def serve(self, operation: str, request: Any) -> Answer:
        with self.lock:
            return getattr(self, f"_{operation.lower()}")(request)

    def _listobjectsv2(self, request: Any) -> Answer:
        prefix, after, size = listing_place(request.url)
        keys = sorted(key for key in self.objects if key.startswith(prefix) and key > after)
        return Answer(page_xml([(key, self.objects[key]) for key in keys[:size]], more=len(keys) > size))

    def _headbucket(self, _request: Any) -> Answer:
        return Answer(headers={"x-amz-bucket-region": "us-east-1"})

    def _describetable(self, _request: Any) -> Answer:
        return _json({"Table": {"TableName": "vectors"}})

    def _getobject(self, request: Any) -> Answer:
        body = self.objects.get(_key(request))
        if body is None:
            return xml_error(404, "NoSuchKey")
        asked = _text(request.headers.get("Range"))
        begin, end = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "bytes=0-").groups()  # type: ignore[union-attr]
        part = body[int(begin) : int(end) + 1 if end else None]
        headers = {"content-length": str(len(part)), "etag": f'"{hashlib.md5(body).hexdigest()}"'}
        return Answer(part, 206 if asked else 200, headers)

    def _putobject(self, request: Any) -> Answer:
        key = _key(request)
        if request.headers.get("If-None-Match") and key in self.objects:
            return xml_error(412, "PreconditionFailed")
        if not request.headers.get("If-None-Match"):
            self.unconditional.append(key)
        body = request.body
        self.objects[key] = body if isinstance(body, bytes) else body.read()
        return Answer()

    def _copyobject(self, request: Any) -> Answer:
        source = request.headers["x-amz-copy-source"]
        source = unquote(source.decode() if isinstance(source, bytes) else source).split("/", 1)[1]
        self.objects[_key(request)] = self.objects[source]
        return Answer(b"<CopyObjectResult><ETag>&quot;x&quot;</ETag></CopyObjectResult>")

    def _submitjob(self, request: Any) -> Answer:
        assert len(request.body) < 30 * 1024
        job = json.loads(request.body)
        self.jobs.append(job)
        return _json({"jobName": job["jobName"], "jobId": f"job-{len(self.jobs)}"})

    def _listjobs(self, request: Any) -> Answer:
        wanted = json.loads(request.body)["filters"][0]["values"][0].removesuffix("*")
        found = [
            {"jobName": job["jobName"], "jobId": f"job-{number}", "createdAt": number}
            for number, job in enumerate(self.jobs, start=1)
            if job["jobName"].startswith(wanted)
        ]
        return _json({"jobSummaryList": found})


class Wire:
    """Clients that some fake answers. Making them takes longer than most tests, so they are kept."""

    fake: FakeAws
    intercept: Callable[[str, Callable[[], Answer]], Answer] | None

    def __init__(self) -> None:
        self.services = Services()
        for client in (
            self.services.s3,
            self.services.pages,
            self.services.batch,
            self.services.submitting,
            self.services.dynamodb,
        ):
            client.meta.events.register("before-send", self._respond)  # type: ignore[arg-type]

    def _respond(self, request: Any, event_name: str, **_: object) -> AWSResponse:
        operation = event_name.rsplit(".", 1)[-1]

        def serve() -> Answer:
            return self.fake.serve(operation, request)

        answer = self.intercept(operation, serve) if self.intercept else serve()
        return AWSResponse(request.url, answer.status, HTTPHeaders.from_dict(answer.headers), answer)


_wires: list[Wire] = []


def _key(request: Any) -> str:
    return unquote(urlsplit(request.url).path).removeprefix(f"/{BUCKET}/")


def _text(header: str | bytes | None) -> str | None:
    return header.decode() if isinstance(header, bytes) else header


def _json(value: object) -> Answer:
    return Answer(json.dumps(value).encode(), headers={"content-type": "application/json"})


def listing_place(url: str) -> tuple[str, str, int]:
    """Return the prefix of a request for a page, the key after which the page begins, and the most keys in it."""
    query = parse_qs(urlsplit(url).query)
    token = bytes.fromhex(query.get("continuation-token", [""])[0]).decode()
    after = token or query.get("start-after", [""])[0]
    return query.get("prefix", [""])[0], after, int(query.get("max-keys", [str(PAGE)])[0])


def page_xml(objects: list[tuple[str, bytes]], *, more: bool) -> bytes:
    """A page of ListObjectsV2 as S3 writes it, its keys encoded."""
    return wrapped((entry_xml(key, body) for key, body in objects), token=objects[-1][0] if more else None)


def entry_xml(key: str, body: bytes) -> str:
    """An object of a page."""
    return (
        f"<Contents><Key>{quote_plus(key, safe='/')}</Key>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified>"
        f"<ETag>&quot;{hashlib.md5(body).hexdigest()}&quot;</ETag><ChecksumAlgorithm>CRC32</ChecksumAlgorithm>"
        f"<Size>{len(body)}</Size><StorageClass>STANDARD</StorageClass></Contents>"
    )


def wrapped(entries: Iterable[str], *, token: str | None) -> bytes:
    """A page of entries; `token` is the last key of one that is not the last."""
    contents, more = "".join(entries), token is not None
    token = f"<NextContinuationToken>{token.encode().hex()}</NextContinuationToken>" if token is not None else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{BUCKET}</Name><EncodingType>url</EncodingType><IsTruncated>{str(more).lower()}</IsTruncated>"
        f"{contents}{token}</ListBucketResult>"
    ).encode()
