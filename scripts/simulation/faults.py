"""What goes wrong on purpose in a worker's first attempt."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from scripts.simulation.gateway import Call, CallerGoneError, Intercept
from scripts.simulation.retry_rules import Ending
from scripts.simulation.workers import Worker, stop
from submitter.manifest import RUNS_PREFIX

Serve = Callable[[], Iterable[bytes]]


@dataclass(slots=True)
class Reclaimed:
    """Kills a worker in the middle of its writes, as the loss of a Spot instance does.

    The worker's first batch of vectors is stored, and it is dead before its next write.
    """

    written: bool = False
    done: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, worker: Worker) -> Intercept:
        """Return what the gateway does with the worker's requests."""

        def intercept(call: Call, serve: Serve) -> Iterable[bytes]:
            if call.operation not in {"BatchWriteItem", "PutObject"}:
                return serve()
            with self.lock:
                if not self.written and call.operation == "BatchWriteItem":
                    self.written = True
                    return serve()
                worker.kill()
                self.done = True
                raise CallerGoneError

        return intercept

    def ending(self, found: Ending) -> Ending:
        """Return how Batch sees the end of a worker that ended as `found` says."""
        return Ending(status_reason="Host EC2 (instance i-0123456789abcdef0) terminated.") if self.done else found


@dataclass(slots=True)
class Stopped:
    """Stops a worker while it waits for an image, as a machine does that shuts down.

    It gets SIGTERM, and SIGKILL if it takes too long. The image never comes.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)

    def watch(self, worker: Worker) -> Intercept:
        """Return what the gateway does with the worker's requests."""

        def intercept(call: Call, serve: Serve) -> Iterable[bytes]:
            image = call.operation == "GetObject" and not call.key.startswith(RUNS_PREFIX)
            if not image or not self.lock.acquire(blocking=False):
                return serve()
            stop(worker)
            raise CallerGoneError

        return intercept

    def ending(self, found: Ending) -> Ending:
        """Return `found`: the exit code decides."""
        return found


class Unpulled:
    """The image cannot be pulled, so there is no worker."""


Fault = Reclaimed | Stopped | Unpulled
