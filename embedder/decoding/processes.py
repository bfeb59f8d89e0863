"""Decodes in separate processes, so that a decoder that crashes or hangs costs one image and not the run.

Image decoders are native code that reads bytes from strangers. Each decoding thread has a child process that imports
only Pillow and numpy. Bytes go in through a pipe, and pixels come out. If a child dies or takes too long, its image is
the cause beyond doubt, and another child is started for the next image. Processes also let many cores decode at once,
which threads under Python's lock do only in part. docs/design.md has the cost.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import selectors
import signal
import struct
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, fields
from typing import IO

import numpy as np

from embedder.decoding.decoded import Decoded
from embedder.decoding.decoder import Decoder, Reserve
from embedder.errors import ConfigurationError, ImageError
from embedder.records import Preprocessing

DECODE_SECONDS = 120.0
"""A decoder that takes longer hangs. The slowest image allowed, 179 million pixels, takes about ten seconds."""

ORPHAN_SECONDS = int(DECODE_SECONDS) + 10
"""A child that hangs ends itself after this time, because its parent, which would end it, may have been killed."""

FREE_BYTES = 64 << 20
"""Decoding that needs less memory than this reserves none: an eight-megapixel photograph."""

ALL_MEMORY = 1 << 62
"""More than the whole budget, so that reserving it waits until no other large image is decoded."""

PIPE_BYTES = 1 << 20
"""The size of a pipe's buffer, if the system allows it, so that most images cross in one piece."""

HEADER = struct.Struct("<cQ")
"""The header of every message: its kind, and the number of bytes that follow (for NEED: the bytes wanted)."""

BESIDE_PIXELS = tuple(each.name for each in fields(Decoded) if each.name != "pixels")
"""What an answer has behind the pixels, as JSON."""

IMAGE, PICTURE, FAILURE, NEED, GRANTED = b"I", b"P", b"F", b"N", b"G"

START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from embedder.decoding.processes import serve; serve()"
)


class IsolatedDecoder:
    """Decodes as `Decoder` does, in a child process for each calling thread.

    Args:
        preprocessing: how the model's publisher prepares images.
        max_pixels: images that claim more pixels are refused.
        exact: whether every pixel must equal the preset's.
        damaged: whether images that have lost part of their data are decoded as far as possible.
        dates: whether to look up when pictures were taken.
        reserve: called with the bytes that a large image needs while it is decoded.
    """

    def __init__(
        self,
        preprocessing: Preprocessing,
        *,
        max_pixels: int,
        reserve: Reserve,
        exact: bool = True,
        damaged: bool = False,
        dates: bool = False,
    ) -> None:
        options = {"max_pixels": max_pixels, "exact": exact, "damaged": damaged, "dates": dates}
        self.settings = json.dumps({"preprocessing": asdict(preprocessing), "options": options})
        self.crop = preprocessing.crop
        self.reserve = reserve
        self.local = threading.local()
        self.children: list[_Child] = []
        self.closed = False
        self.changing = threading.Lock()
        """Held while `children` changes and while a child is started, so that `close` ends every child."""

    def decode(self, data: bytes) -> Decoded:
        """Return the picture in an image file.

        Raises:
            ImageError: the file is not a whole image, is too large, or makes its decoder crash or hang.
        """
        try:
            return self._decode(data, self.reserve)
        except _KilledError:
            # Only the kernel kills a decoder, when memory runs out, which other programs may have used up.
            with self.reserve(ALL_MEMORY):
                try:
                    return self._decode(data, lambda _: contextlib.nullcontext())
                except _KilledError:
                    message = "its decoder was killed twice, the second time alone: there is too little memory for it"
                    raise ImageError("Crashed", message) from None

    def _decode(self, data: bytes, reserve: Reserve) -> Decoded:
        child = self._child()
        try:
            kind, answer = child.ask(data, reserve)
        except (BrokenPipeError, EOFError):
            if self.closed:
                raise RuntimeError("the run has ended meanwhile") from None
            ending = child.ending()
            self._end(child)
            if ending == "SIGKILL":
                raise _KilledError from None
            raise ImageError("Crashed", f"its decoder crashed ({ending})") from None
        except TimeoutError:
            self._end(child)
            raise ImageError("TooSlow", f"its decoder was stopped after {DECODE_SECONDS:.0f} seconds") from None
        if kind == FAILURE:
            raise ImageError(**json.loads(answer))
        shape = (self.crop, self.crop, 3)
        size = math.prod(shape)
        rest = json.loads(answer[size:])
        return Decoded(
            pixels=np.frombuffer(answer, np.uint8, count=size).reshape(shape),
            **{**rest, "notices": tuple(rest["notices"])},
        )

    def close(self) -> None:
        """End the children at once. No thread needs their results any more."""
        with self.changing:
            self.closed = True
            children = list(self.children)  # threads whose child dies remove it meanwhile
        for child in children:
            child.process.kill()
        for child in children:
            child.end()

    def _child(self) -> _Child:
        """Return the calling thread's child, a new one where there is none or it has died."""
        child: _Child | None = getattr(self.local, "child", None)
        if child is not None and child.process.poll() is None:
            return child
        if child is not None:
            self._end(child)
        with self.changing:
            if self.closed:
                raise RuntimeError("the run has ended meanwhile")
            try:
                child = self.local.child = _Child(self.settings)
            except OSError as error:
                raise ConfigurationError(
                    f"a process for decoding cannot be started: {error.strerror}; "
                    "give fewer --workers, or allow more (ulimit -n, ulimit -u, memory)"
                ) from error
            self.children.append(child)
        return child

    def _end(self, child: _Child) -> None:
        """Let go of the calling thread's child, with its descriptors."""
        self.local.child = None
        with self.changing:
            self.children.remove(child)
        child.end()


class _KilledError(Exception):
    """The child was killed from outside."""


class _Child:
    """A process that decodes one image after another."""

    def __init__(self, settings: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", START, json.dumps(sys.path), settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # Ctrl-C is for the run, which ends its children itself
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.into, self.out = self.process.stdin, self.process.stdout
        _widen(self.into)
        _widen(self.out)
        self.using = threading.Lock()
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.out, selectors.EVENT_READ)

    def end(self) -> None:
        """Wait for the process, which was killed or died, and close its pipes as soon as no thread waits at them."""
        self.process.wait()
        with self.using:
            self.selector.close()
            self.into.close()
            self.out.close()

    def ask(self, data: bytes, reserve: Reserve) -> tuple[bytes, bytes]:
        """Send an image and return the kind and the body of the answer."""
        with self.using:
            return self._ask(data, reserve)

    def _ask(self, data: bytes, reserve: Reserve) -> tuple[bytes, bytes]:
        if self.selector.get_map() is None:
            raise EOFError  # the pool was closed
        _send(self.into, IMAGE, data)
        kind, size = self._header()
        with contextlib.ExitStack() as held:
            while kind == NEED:  # once an attempt: a file that needs mending is opened again
                held.close()
                held.enter_context(reserve(size))
                _send(self.into, GRANTED, b"")
                kind, size = self._header()
            return kind, self._read(size)

    def _header(self) -> tuple[bytes, int]:
        kind, size = HEADER.unpack(self._read(HEADER.size))
        return kind, size

    def _read(self, size: int) -> bytes:
        """Read exactly so many bytes, within the time that an image may take."""
        buffer = bytearray(size)
        view, got, until = memoryview(buffer), 0, time.monotonic() + DECODE_SECONDS
        while got < size:
            if not self.selector.select(max(0.0, until - time.monotonic())):
                self.process.kill()
                self.process.wait()  # the memory that it reserved must be free before another thread may reserve it
                raise TimeoutError
            count = os.readv(self.out.fileno(), [view[got:]])
            if not count:
                raise EOFError
            got += count
        return bytes(buffer)

    def ending(self) -> str:
        """How the process ended, for the failure's message."""
        code = self.process.wait()
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def serve() -> None:
    """Run a child: decode the images from stdin until it ends, or until the parent no longer reads the answers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    source, answers = sys.stdin.buffer, os.fdopen(os.dup(1), "wb", buffering=0)
    _hush()
    settings = json.loads(sys.argv[2])

    @contextlib.contextmanager
    def reserve(wanted: int) -> Iterator[None]:
        if wanted > FREE_BYTES:
            answers.write(HEADER.pack(NEED, wanted))
            signal.alarm(0)
            if not source.read(HEADER.size):
                sys.exit(0)
            signal.alarm(ORPHAN_SECONDS)
        yield

    preprocessing = Preprocessing(**settings["preprocessing"])
    decoder = Decoder(preprocessing, reserve=reserve, **settings["options"])
    while header := source.read(HEADER.size):
        data = source.read(HEADER.unpack(header)[1])
        signal.alarm(ORPHAN_SECONDS)
        try:
            found = decoder.decode(data)
        except ImageError as error:
            signal.alarm(0)
            _send(answers, FAILURE, json.dumps({"error": error.error, "message": error.message}).encode())
        else:
            signal.alarm(0)
            rest = {each: getattr(found, each) for each in BESIDE_PIXELS}
            _send(answers, PICTURE, found.pixels.tobytes() + json.dumps(rest).encode())


def _hush() -> None:
    """Let decoders print into the void: not between the answers, and not, of every bad image, on the terminal."""
    warnings.simplefilter("ignore")
    sys.stderr = os.fdopen(os.dup(2), "w", buffering=1)  # a traceback of ours is still seen
    void = os.open(os.devnull, os.O_WRONLY)
    os.dup2(void, 1)
    os.dup2(void, 2)


def _send(pipe: IO[bytes], kind: bytes, body: bytes) -> None:
    for part in (HEADER.pack(kind, len(body)), body):
        rest = memoryview(part)
        while rest:
            rest = rest[pipe.write(rest) :]


def _widen(pipe: IO[bytes]) -> None:
    import fcntl

    # Linux only, and refused past a limit of the system's; the usual 64 KiB do as well, with more switches.
    with contextlib.suppress(AttributeError, OSError):
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
