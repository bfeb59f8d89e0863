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

from embedder.errors import ConfigurationError, EmbedderError, ImageError
from embedder.sources.objects import get_object
from embedder.system import aws

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
        with self.changing:
            try:
                while len(self.started) < self.processes and not self.closed:
                    self.started.append(_Process(self.lines, self.patience, self.stopping))
            except OSError as error:
                logger.warning("a process that reads from S3 cannot be started: %s", error.strerror)
            lines = [line for process in self.started for line in process.lines]
        for line in lines:
            if line.ask(None) is not None:
                self._put(line)

    def get(self, bucket: str, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and its ETag, None where no process can read it: then its caller does.

        Raises:
            ImageError, ConfigurationError: as `get_object` does.
        """
        try:
            line = self.free.get_nowait()
        except Empty:
            return None
        answer = line.ask({"bucket": bucket, "key": key})
        if answer is None:
            if self.closed:
                raise RuntimeError("the run has ended meanwhile")
            return None
        self._put(line)
        fields, data = answer
        if "refused" in fields:
            raise ConfigurationError(fields["refused"])
        if "error" in fields:
            raise ImageError(**fields)
        return data, fields["etag"]

    def _put(self, line: _Line) -> None:
        with self.changing:
            if self.closed:
                line.socket.close()
            else:
                self.free.put(line)

    def close(self) -> None:
        """End the processes, whatever they are doing: nobody waits for it any more."""
        with self.changing:
            self.closed = True
        while self.started:
            self.started.pop().end()
        with contextlib.suppress(Empty):
            while True:
                self.free.get_nowait().socket.close()


class _Line:
    """A connection to a process, for one request at a time."""

    def __init__(self, process: _Process, ours: socket.socket) -> None:
        ours.settimeout(POLL_SECONDS)
        self.process = process
        self.socket = ours

    def ask(self, request: dict[str, Any] | None) -> Message | None:
        """Send a request and return the answer; None where the process cannot give one, which is its end.

        Args:
            request: None for the first word, which says without being asked that the process is ready.
        """
        try:
            if request is not None:
                _send(self.socket, request)
            fields, data = _receive(self.socket, self.process.heed)
        except (EOFError, OSError):
            why = "it has ended"
        except BaseException:
            self.socket.close()
            raise
        else:
            if "unable" not in fields:
                return fields, data
            why = fields["unable"]
        self.socket.close()
        self.process.end(why)
        return None


class _Process:
    """A process that reads objects, with a thread for each line to it."""

    def __init__(self, lines: int, patience: float, stopping: threading.Event) -> None:
        pairs = [socket.socketpair() for _ in range(lines)]
        heard, self.lifeline = socket.socketpair()
        theirs = [other.fileno() for _, other in pairs]
        settings = json.dumps({"patience": patience, "lines": theirs, "lifeline": heard.fileno()})
        try:
            self.child = subprocess.Popen(
                [sys.executable, "-P", "-c", START, json.dumps(sys.path), settings],
                stdin=subprocess.DEVNULL,  # nobody is to be asked for a password there
                stdout=subprocess.DEVNULL,
                pass_fds=[*theirs, heard.fileno()],
                start_new_session=True,  # Ctrl-C is for the run, which ends its processes itself
            )
        except OSError:
            for each in (*(ours for ours, _ in pairs), self.lifeline):
                each.close()
            raise
        finally:
            for each in (*(other for _, other in pairs), heard):
                each.close()
        self.lines = [_Line(self, ours) for ours, _ in pairs]
        self.stopping = stopping
        self.told = self.ended = False
        self.changing = threading.Lock()

    def heed(self) -> None:
        """Pass on that no broken network is to be waited for any more, once."""
        with self.changing:
            if self.stopping.is_set() and not self.told and not self.ended:
                self.told = True
                with contextlib.suppress(ConnectionError):  # it has ended, as its lines will show
                    self.lifeline.send(b"s")

    def end(self, why: str = "") -> None:
        """Kill it. Who waits for an answer finds the line at its end, and then reads for himself.

        Args:
            why: what is wrong with it, where nobody wanted its end.
        """
        with self.changing:
            if self.ended:
                return
            self.ended = True
            self.child.kill()
            code = self.child.wait()
            self.lifeline.close()
        if why:
            logger.warning("a process that reads from S3 is lost (%s, exit code %s); going on without", why, code)


def serve() -> None:
    """The process: answer on every line until the parent lets go of the lifeline, by closing it or by dying."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    settings = json.loads(sys.argv[2])
    stopping = threading.Event()
    try:
        client = aws.s3_client(len(settings["lines"]))
    except EmbedderError as error:
        sys.exit(str(error))  # the parent, which reads for itself then, will meet and raise it
    patience = aws.Patience(stopping, settings["patience"])
    for descriptor in settings["lines"]:
        line = socket.socket(fileno=descriptor)
        threading.Thread(target=_answer, args=(line, client, patience), daemon=True).start()
    with socket.socket(fileno=settings["lifeline"]) as lifeline:
        while lifeline.recv(1):
            stopping.set()
    os._exit(0)


def _answer(line: socket.socket, client: S3Client, patience: aws.Patience) -> None:
    """Answer what is asked on a line, for as long as there is somebody at its other end."""
    with line, contextlib.suppress(EOFError, ConnectionError):
        _send(line, {})
        while True:
            request, _ = _receive(line)
            try:
                answer = _read(client, patience, **request)
            # A bug, or credentials that want a person: the parent meets the same when it reads for itself.
            except Exception as error:
                answer = {"unable": f"{type(error).__name__}: {error}"}, b""
            _send(line, *answer)


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
