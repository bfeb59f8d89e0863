"""Decoding processes under the scheduler: pipes, and a child that is a thread and speaks the parent's protocol."""

from __future__ import annotations

import errno
import json
import os
import selectors
import signal
import subprocess
from collections import Counter
from collections.abc import Callable
from types import ModuleType
from typing import Any

from greenlet import GreenletExit

from embedder.decoding.processes import FAILURE, GRANTED, HEADER, IMAGE, NEED, PICTURE
from tests.schedules.primitives import module
from tests.schedules.scheduler import pause, running, wait_until

PIPE_BYTES = 40
"""A pipe holds so little that messages cross it in pieces."""

CROP = 2
"""The side of the pictures in pixels."""


class Pipe:
    """One end writes bytes and waits while the pipe is full; the other reads and waits while it is empty."""

    def __init__(self) -> None:
        self.held = bytearray()
        self.reader_open = self.writer_open = True

    def write(self, data: memoryview | bytes) -> int:
        pause()
        wait_until(lambda: len(self.held) < PIPE_BYTES or not self.reader_open)
        if not self.reader_open:
            raise BrokenPipeError
        written = min(len(data), PIPE_BYTES - len(self.held))
        self.held += bytes(data[:written])
        return written

    def readable(self) -> bool:
        return bool(self.held) or not self.writer_open

    def read(self, size: int) -> bytes:
        """Read what there is, at most `size` bytes; nothing if the writer has gone."""
        pause()
        wait_until(self.readable)
        found = bytes(self.held[:size])
        del self.held[:size]
        return found


class End:
    """The parent's end of a pipe."""

    def __init__(self, pipe: Pipe, *, reads: bool) -> None:
        self.pipe = pipe
        self.reads = reads
        self.closed = False

    def write(self, data: memoryview | bytes) -> int:
        assert not self.closed, "a closed pipe is written"
        return self.pipe.write(data)

    def fileno(self) -> End:
        """Return this end itself, where a real file has a number."""
        assert not self.closed, "a closed pipe is used"
        return self

    def close(self) -> None:
        self.closed = True
        if self.reads:
            self.pipe.reader_open = False
        else:
            self.pipe.writer_open = False


class Selector:
    """Waits until one pipe can be read."""

    def __init__(self) -> None:
        self.end: End | None = None

    def register(self, end: End, events: int) -> None:
        assert events == selectors.EVENT_READ
        self.end = end

    def get_map(self) -> dict[str, End] | None:
        return None if self.end is None else {"": self.end}

    def select(self, timeout: float) -> list[End]:
        pause()
        assert self.end is not None, "a closed selector is used"
        end = self.end
        return [end] if wait_until(end.pipe.readable, timeout) else []

    def close(self) -> None:
        self.end = None


class Process:
    """A child. What an image does to it is the first word of the image's bytes."""

    def __init__(self, children: Children) -> None:
        self.children = children
        self.requests, self.answers = Pipe(), Pipe()
        self.stdin, self.stdout = End(self.requests, reads=False), End(self.answers, reads=True)
        self.returncode: int | None = None
        self.waited = False
        self.granted = 0
        task = running()
        assert task is not None
        task.scheduler.spawn(self._serve, "child")

    def poll(self) -> int | None:
        pause()
        self.waited = self.waited or self.returncode is not None
        return self.returncode

    def wait(self) -> int:
        pause()
        wait_until(lambda: self.returncode is not None)
        self.waited = True
        assert self.returncode is not None
        return self.returncode

    def kill(self) -> None:
        pause()
        self._die(-signal.SIGKILL)

    def _die(self, code: int) -> None:
        if self.returncode is None:
            self.returncode = code
            self.requests.reader_open = self.answers.writer_open = False
            self._give_back()

    def _give_back(self) -> None:
        self.children.hold(-self.granted)
        self.granted = 0

    def _serve(self) -> None:
        try:
            while header := self._read(HEADER.size):
                kind, size = HEADER.unpack(header)
                assert kind == IMAGE, "an answer was taken for a request"
                if not (data := self._read(size)):
                    break
                self._decode(data)
        except (BrokenPipeError, GreenletExit):
            pass
        self._die(0)

    def _read(self, size: int) -> bytes:
        found = b""
        while len(found) < size and (part := self._alive(self.requests.read)(size - len(found))):
            found += part
        if found and len(found) < size:
            raise BrokenPipeError
        return found

    def _alive(self, call: Callable[..., Any]) -> Callable[..., Any]:
        if self.returncode is not None:
            raise BrokenPipeError  # a process that was killed does nothing more
        return call

    def _answer(self, kind: bytes, body: bytes) -> None:
        self._send(HEADER.pack(kind, len(body)) + body)

    def _send(self, message: bytes) -> None:
        rest = memoryview(message)
        while rest:
            rest = rest[self._alive(self.answers.write)(rest) :]

    def _decode(self, data: bytes) -> None:
        self.children.tries[data] += 1
        match data.split():
            case [b"large", wanted, _]:
                self._grow(int(wanted))
            case [b"large-hang", wanted, _]:
                self._grow(int(wanted))
                wait_until(lambda: self.returncode is not None)
            case [b"crash", _]:
                self._die(-signal.SIGSEGV)
            case [b"cut", _]:
                self._send(HEADER.pack(PICTURE, 50) + bytes(5))  # it ends in the middle of its answer
                self._die(-signal.SIGSEGV)
            case [b"killed", times, _] if self.children.tries[data] <= int(times):
                self._die(-signal.SIGKILL)
            case [b"hang", _]:
                wait_until(lambda: self.returncode is not None)
            case [b"bad", _]:
                body = json.dumps({"error": "NotAnImage", "message": "it is text"}).encode()
                return self._answer(FAILURE, body)
        rest = json.dumps({"notices": [], "width": 1, "height": 1, "format": "PNG"}).encode()
        self._give_back()
        return self._answer(PICTURE, pixels_of(data) + rest)

    def _grow(self, wanted: int) -> None:
        """Ask for memory, and hold it until the picture is made."""
        self._send(HEADER.pack(NEED, wanted))
        kind, _ = HEADER.unpack(self._read(HEADER.size) or HEADER.pack(GRANTED, 0))
        assert kind == GRANTED
        self._alive(pause)()
        self.granted = min(wanted, self.children.budget)
        self.children.hold(self.granted)
        pause()


class Children:
    """The processes of one schedule: what the parent finds in `subprocess`, `selectors` and `os`."""

    def __init__(self) -> None:
        self.begin()

    def begin(self, budget: int = 0) -> None:
        """Begin a schedule, whose large images may be granted so many bytes together."""
        self.budget = budget
        self.processes: list[Process] = []
        self.unstartable = 0
        """How many of the next processes cannot be started."""
        self.tries: Counter[bytes] = Counter()
        """How often each image was decoded."""
        self.held = self.most_held = 0
        """Bytes that large images hold. One that needs more than the budget counts as all of it."""

    def start(self, _arguments: list[str], **_: object) -> Process:
        pause()
        if self.unstartable:
            self.unstartable -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        process = Process(self)
        self.processes.append(process)
        return process

    def hold(self, amount: int) -> None:
        self.held += amount
        self.most_held = max(self.most_held, self.held)

    def left(self) -> list[Process]:
        """Return the processes that nobody has ended, waited for, or whose pipes are open."""
        return [each for each in self.processes if not (each.waited and each.stdin.closed and each.stdout.closed)]

    def modules(self) -> dict[str, ModuleType]:
        """Return what the parent's module sees in place of the operating system's."""
        return {
            "subprocess": module("subprocess", Popen=self.start, PIPE=subprocess.PIPE),
            "selectors": module("selectors", DefaultSelector=Selector, EVENT_READ=selectors.EVENT_READ),
            "os": module("os", **{**vars(os), "readv": _readv}),
            "fcntl": module("fcntl"),  # the size of a pipe cannot be set
        }


def _readv(end: End, buffers: list[memoryview]) -> int:
    found = end.pipe.read(len(buffers[0]))
    buffers[0][: len(found)] = found
    return len(found)


def pixels_of(data: bytes) -> bytes:
    """Return the pixels that the child makes of an image: its last word, filled up."""
    return data.split()[-1].ljust(CROP * CROP * 3, b".")
