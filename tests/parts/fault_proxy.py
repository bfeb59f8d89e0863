"""A broken network: a proxy that stands before a real server, and faults that can be switched while it runs."""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import ssl
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One HTTP request as it came."""

    head: bytes
    body: bytes

    @property
    def what(self) -> str:
        """`GET /bucket/key` of S3, `BatchWriteItem` of DynamoDB."""
        target = re.search(rb"^x-amz-target:\s*\S+\.(\w+)\s*$", self.head, re.IGNORECASE | re.MULTILINE)
        return (target[1] if target else self.head.split(b"\r\n", 1)[0].rpartition(b" ")[0]).decode()

    @property
    def by_boto3(self) -> bool:
        return b"\r\namz-sdk-invocation-id:" in self.head.lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What happens to a request, or to its answer."""

    reset: bool = False
    """The connection is reset before an answer comes."""
    hang: bool = False
    """No answer ever comes: a black hole."""
    answer: Callable[[Request], bytes] | None = None
    """The server never hears of it; this is the answer instead."""
    cut: int | None = None
    """The connection ends after so many bytes of the answer, headers included."""
    rate: int | None = None
    """The answer comes in so many bytes a second, one by one."""
    delay: float = 0.0
    """Seconds that the request waits on its way."""


def _aws_error(status: int, code: str) -> Callable[[Request], bytes]:
    def answer(request: Request) -> bytes:
        if b"x-amz-target" in request.head.lower():
            return _dynamodb(status, {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": code})
        return _http(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode(), "application/xml")

    return answer


def _dynamodb(status: int, body: Mapping[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    return _http(status, data, "application/x-amz-json-1.0", f"x-amz-crc32: {zlib.crc32(data)}\r\n")


def _http(status: int, body: bytes, kind: str, more: str = "") -> bytes:
    head = f"HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def _nothing_taken(request: Request) -> bytes:
    batch = json.loads(request.body).get("RequestItems", {})
    if request.what == "BatchWriteItem":
        return _dynamodb(200, {"UnprocessedItems": batch})
    return _dynamodb(200, {"Responses": {table: [] for table in batch}, "UnprocessedKeys": batch})


RESET = Fault(reset=True)
BLACK_HOLE = Fault(hang=True)
SLOW_DOWN = Fault(answer=_aws_error(503, "SlowDown"))
DENIED = Fault(answer=_aws_error(403, "AccessDenied"))
EXPIRED = Fault(answer=_aws_error(400, "ExpiredToken"))
THROTTLED = Fault(answer=_aws_error(400, "ProvisionedThroughputExceededException"))
UNPROCESSED = Fault(answer=_nothing_taken)
"""For BatchWriteItem and BatchGetItem alone: all of the batch is handed back."""

Choice = Callable[[Request], Fault | None]
"""Says what happens to a request."""


def well(_: Request) -> None:
    """Nothing is the matter."""


def always(fault: Fault, *, only: str = "") -> Choice:
    """The same fault for every request whose `what` has the pattern in it."""
    return lambda request: fault if re.search(only, request.what) else None


def at_first(times: int, fault: Fault, *, only: str = "") -> Choice:
    """The same fault for so many of these requests, and then none."""
    left = iter([fault] * times)
    return lambda request: next(left, None) if re.search(only, request.what) else None


def after(times: int, fault: Fault, *, only: str = "") -> Choice:
    """No fault for so many of these requests, and then the same for all."""
    left = iter([None] * times)
    return lambda request: next(left, fault) if re.search(only, request.what) else None


def sometimes(seed: int, chances: Mapping[Fault, float], *, only: str = "") -> Choice:
    """Each fault with its probability, by chance; the same chances for the same seed."""
    chance = random.Random(seed)
    faults, weights = [None, *chances], [1 - sum(chances.values()), *chances.values()]
    return lambda request: chance.choices(faults, weights)[0] if re.search(only, request.what) else None


@dataclass(kw_only=True, slots=True)
class FaultProxy:
    """Passes requests on to a server, as `choose` says."""

    behind: str
    """The server's endpoint."""
    choose: Choice = well
    """May be set to another at any time."""
    latency: float = 0.0
    """Seconds that every request takes longer."""
    endpoint: str = ""
    passed: Counter[str] = field(default_factory=Counter)
    """How often a request has reached the server, by `what`."""
    past_boto3: int = 0
    """How many of these were made without boto3."""
    spoilt: Counter[str] = field(default_factory=Counter)
    """How often there was a fault, likewise."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection to its end."""
        host, port = self.behind.removeprefix("http://").split(":")
        tasks = []
        try:
            from_server, to_server = await asyncio.open_connection(host, int(port))
            answers = _Answers(from_server, writer)
            tasks.append(asyncio.create_task(answers.pump()))
            while request := await _read(reader, writer):
                fault = self.choose(request) or Fault()
                (self.passed if fault == Fault() else self.spoilt)[request.what] += 1
                self.past_boto3 += fault == Fault() and not request.by_boto3
                await asyncio.sleep(self.latency + fault.delay)
                if fault.hang:
                    tasks[0].cancel()  # not even that the server hangs up is heard
                    await reader.read()  # until the caller gives up
                    break
                if fault.reset:
                    on_close = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, on_close)
                    break
                if fault.answer:
                    writer.write(fault.answer(request)[: fault.cut])
                    if fault.cut is not None:
                        break
                else:
                    answers.left, answers.rate = fault.cut, fault.rate
                    to_server.write(request.head + request.body)
            to_server.close()
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # whoever it was that hung up, the other one is told below
        finally:
            for task in tasks:
                task.cancel()
            writer.close()


@dataclass(slots=True)
class _Answers:
    """The way back of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    left: int | None = None
    rate: int | None = None

    async def pump(self) -> None:
        with suppress(OSError):
            while self.left != 0 and (data := await self.reader.read(1 << 16)):
                data = data[: self.left]
                if self.left is not None:
                    self.left -= len(data)
                for part in (data,) if self.rate is None else (data[i : i + 1] for i in range(len(data))):
                    self.writer.write(part)
                    await self.writer.drain()
                    await asyncio.sleep(1 / self.rate if self.rate else 0)
        self.writer.close()


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request | None:
    """The next request of a connection, None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    if expects := re.search(rb"^expect:\s*100-continue\r\n", head, re.IGNORECASE | re.MULTILINE):
        head = head.replace(expects[0], b"")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")  # without it boto3 waits a second before it sends the body
    length = re.search(rb"^content-length:\s*(\d+)", head, re.IGNORECASE | re.MULTILINE)
    return Request(head=head, body=await reader.readexactly(int(length[1])) if length else b"")


@contextmanager
def before(endpoint: str, *, latency: float = 0.0, tls: ssl.SSLContext | None = None) -> Iterator[FaultProxy]:
    """A proxy that stands before an endpoint, on a thread of its own; `.endpoint` is the one to use instead.

    With `tls` it is `https://localhost:…`.
    """
    proxy = FaultProxy(behind=endpoint, latency=latency)
    loop = asyncio.new_event_loop()
    front = loop.run_until_complete(asyncio.start_server(proxy.serve, "127.0.0.1", 0, backlog=500, ssl=tls))
    proxy.endpoint = f"{'https://localhost' if tls else 'http://127.0.0.1'}:{front.sockets[0].getsockname()[1]}"
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        front.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
