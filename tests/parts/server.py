"""Server processes that never outlive the tests that use them, however those end.

A tiny shell watches over each server: once its standard input ends, it stops the server. Whoever uses the
server holds the other end of that pipe open, and the kernel closes it when the holder exits or is killed.
"""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

WATCHED = """
exec 3<&0
"$@" </dev/null 3<&- & server=$!
{ read -r _ <&3; kill $server; } 2>/dev/null & watcher=$!
wait $server; code=$?
kill $watcher 2>/dev/null
exit $code
"""
READY_WITHIN = 90.0


class ServerError(RuntimeError):
    """The server ended or was not ready in time; the message carries its output."""


def start(command: Sequence[str | Path], log: Path, lifeline: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """Start `command`, its output in `log`, for as long as someone holds the writing end of `lifeline`.

    In a session of its own: Ctrl-C reaches the tests, and the server goes when they let go of it.
    """
    with log.open("wb") as output:
        return subprocess.Popen(
            ["sh", "-c", WATCHED, "sh", *map(str, command)],
            stdin=lifeline,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def wait_until_ready(what: str, is_ready: Callable[[], bool], is_alive: Callable[[], bool], log: Path) -> None:
    """Return once `is_ready`; a server that ends or takes too long is an error that carries its output."""
    deadline = time.monotonic() + READY_WITHIN
    while not is_ready():
        if not is_alive() or time.monotonic() > deadline:
            reason = f"was not ready within {READY_WITHIN:.0f} s" if is_alive() else "ended at once"
            raise ServerError(f"{what} {reason}. Its output:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.02)


@contextmanager
def serving(what: str, command: Sequence[str | Path], log: Path, is_ready: Callable[[], bool]) -> Iterator[None]:
    """Run a server for this process alone: ready inside the block, gone after it."""
    reading, writing = os.pipe()
    try:
        process = start(command, log, reading)
    finally:
        os.close(reading)
    try:
        wait_until_ready(what, is_ready, lambda: process.poll() is None, log)
        yield
    finally:
        os.close(writing)
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Wait for a server whose lifeline has been cut."""
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process that held it."""
    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def free_port() -> int:
    """A port that was free a moment ago, for servers that cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def accepts(port: int) -> bool:
    """Whether something listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
