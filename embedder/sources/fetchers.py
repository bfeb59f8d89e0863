"""Processes that read objects for this one.

botocore holds Python's lock for 1.5 ms of every GetObject, so that one process reads at most about 650 objects a
second, whatever its threads; docs/design.md has the measurements. Bytes from another process cost it 0.1 ms.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from embedder import aws
from embedder.errors import ConfigurationError, EmbedderError, ImageError
from embedder.sources.objects import get_object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

logger = logging.getLogger("embedder")

HEADER = struct.Struct("<IQ")
"""Of every message: the length of its JSON object, and of the bytes that follow."""

Message = tuple[dict[str, Any], bytes]

POLL_SECONDS = 0.2
"""How long an answer may be waited for before `stopping` is looked at again."""

START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from embedder.sources.fetchers import serve; serve()"


class Fetchers:
    """Reads objects in other processes, as many at once as there are lines to them.

    Args:
        processes: how many, from 0.
        lines: to each, and so GetObject calls at once in each.
        stopping: when set, waiting for a broken network ends.
        patience: seconds for which an object that does not come is asked for again.
    """

    def __init__(self, processes: int, lines: int, *, stopping: threading.Event, patience: float) -> None:
        self.processes = processes
        self.lines = lines
        self.stopping = stopping
        self.patience = patience
        self.free: SimpleQueue[_Line] = SimpleQueue()
        self.started: list[_Process] = []
        self.closed = False
        self.changing = threading.Lock()
        """Held while processes are started, so that none is started behind the back of `close`."""

    def start(self) -> None:
        """Start the processes and wait until they can be asked; where that is not possible, do without them."""
        settings = json.dumps({"patience": self.patience})
        with self.changing:
            try:
                while len(self.started) < self.processes and not self.closed:
                    self.started.append(_Process(self.lines, settings, self.stopping))
            except OSError as error:
                logger.warning("a process that reads from S3 cannot be started: %s", error.strerror)
        for process in list(self.started):
            for line in process.lines:
                if line.is_ready():
                    self.free.put(line)

    def get(self, bucket: str, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and its ETag, None where no process is free to read it.

        Raises:
            ImageError, ConfigurationError: as `get_object` does.
        """
        try:
            line = self.free.get_nowait()
        except Empty:
            return None
        try:
            fields, data = line.ask({"bucket": bucket, "key": key})
        except (EOFError, ConnectionError):
            line.end()
            if self.closed:
                raise RuntimeError("the run has ended meanwhile") from None
            return None
        self.free.put(line)
        if "refused" in fields:
            raise ConfigurationError(fields["refused"])
        if "error" in fields:
            raise ImageError(**fields)
        return data, fields["etag"]

    def close(self) -> None:
        """End the processes, whatever they are doing: nobody waits for it any more."""
        with self.changing:
            self.closed = True
        while self.started:
            self.started.pop().end()
        with contextlib.suppress(Empty):
            while True:
                self.free.get_nowait().end()


class _Line:
    """A connection to a process, for one request at a time."""

    def __init__(self, process: _Process, ours: socket.socket) -> None:
        ours.settimeout(POLL_SECONDS)
        self.process = process
        self.socket = ours

    def is_ready(self) -> bool:
        """Wait for the first word from the other end; false where there is none to come."""
        try:
            _receive(self.socket, self.process.heed)
        except (EOFError, ConnectionError):
            self.end()
            return False
        return True

    def ask(self, request: dict[str, Any]) -> Message:
        """Send a request and return the answer."""
        _send(self.socket, request)
        return _receive(self.socket, self.process.heed)

    def end(self) -> None:
        """Let go of it; the process has ended."""
        self.socket.close()
        self.process.mourn()


class _Process:
    """A process that reads objects, with a thread for each line to it."""

    def __init__(self, lines: int, settings: str, stopping: threading.Event) -> None:
        pairs = [socket.socketpair() for _ in range(lines)]
        theirs = [other.fileno() for _, other in pairs]
        try:
            self.child = subprocess.Popen(
                [sys.executable, "-c", START, json.dumps(sys.path), settings, json.dumps(theirs)],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                bufsize=0,
                pass_fds=theirs,
                start_new_session=True,  # Ctrl-C is for the run, which ends its processes itself
            )
        except OSError:
            for ours, _ in pairs:
                ours.close()
            raise
        finally:
            for _, other in pairs:
                other.close()
        self.lines = [_Line(self, ours) for ours, _ in pairs]
        self.stopping = stopping
        self.told = False
        self.mourned = False
        self.ended = False

    def heed(self) -> None:
        """Pass on that no broken network is to be waited for any more, once."""
        if self.stopping.is_set() and not self.told and not self.ended:
            self.told = True
            assert self.child.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it has ended, as its lines will show
                self.child.stdin.write(b"s")

    def mourn(self) -> None:
        """Say, once, that the process has ended without being asked to: then this one reads what it would have."""
        if not self.mourned and not self.ended:
            self.mourned = True
            logger.warning("a process that reads from S3 has ended (exit code %s); going on without", self.child.wait())

    def end(self) -> None:
        """Kill it. Who waits for an answer finds the line at its end."""
        self.ended = True
        self.child.kill()
        self.child.wait()
        assert self.child.stdin is not None
        self.child.stdin.close()


def serve() -> None:
    """The process: answer on every line until the parent lets go of stdin, by closing it or by dying."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings, descriptors = json.loads(sys.argv[2]), json.loads(sys.argv[3])
    stopping = threading.Event()
    try:
        client = aws.s3_client(len(descriptors))
    except EmbedderError as error:
        sys.exit(str(error))  # the parent, which reads for itself then, will meet and raise it
    patience = aws.Patience(stopping, settings["patience"])
    for descriptor in descriptors:
        line = socket.socket(fileno=descriptor)
        threading.Thread(target=_answer, args=(line, client, patience), daemon=True).start()
    while sys.stdin.buffer.read(1):
        stopping.set()
    os._exit(0)


def _answer(line: socket.socket, client: S3Client, patience: aws.Patience) -> None:
    """Answer what is asked on a line. It is closed in the end, also by a bug, or somebody would wait for ever."""
    with line, contextlib.suppress(EOFError, ConnectionError):
        _send(line, {})
        while True:
            request, _ = _receive(line)
            _send(line, *_read(client, patience, **request))


def _read(client: S3Client, patience: aws.Patience, bucket: str, key: str) -> Message:
    try:
        data, etag = get_object(client, patience, bucket, key)
    except ImageError as error:
        return {"error": error.error, "message": error.message, "transient": error.transient}, b""
    except ConfigurationError as error:
        return {"refused": str(error)}, b""
    return {"etag": etag}, data


def _send(line: socket.socket, fields: dict[str, Any], data: bytes = b"") -> None:
    text = json.dumps(fields).encode()
    line.sendall(HEADER.pack(len(text), len(data)) + text)
    line.sendall(data)


def _receive(line: socket.socket, heed: Callable[[], None] = lambda: None) -> Message:
    """Return the next message.

    Args:
        heed: called now and then while nothing comes, if the line has a timeout.

    Raises:
        EOFError, ConnectionError: the other end is gone.
    """
    text, data = HEADER.unpack(_exactly(HEADER.size, line, heed))
    return json.loads(_exactly(text, line, heed)), _exactly(data, line, heed)


def _exactly(size: int, line: socket.socket, heed: Callable[[], None]) -> bytes:
    buffer = bytearray(size)
    view, got = memoryview(buffer), 0
    while got < size:
        try:
            count = line.recv_into(view[got:])
        except TimeoutError:
            heed()
            continue
        if not count:
            raise EOFError
        got += count
    return bytes(buffer)
