"""A worker as a machine of Batch starts it. Here it is a process; in `containers.py` it is a container."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from scripts.simulation.cloud import INSIDE, ROOT
from scripts.simulation.retry_rules import Ending
from tests.parts.aws import SEALED

AT_ONCE = 2
"""Concurrent workers, whatever the job requests, because this is a single machine."""
STOP_SECONDS = 30
"""The time between SIGTERM and SIGKILL, ECS's default."""
CANNOT_START = "Task failed to start"
NOT_PULLED = Ending(
    status_reason=CANNOT_START,
    reason="CannotPullContainerError: pull image manifest has been retried 5 time(s): i/o timeout",
)
"""The end of an attempt whose image cannot be pulled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What Batch hands to a machine for one attempt."""

    name: str
    """The caller, by which the gateway knows the worker."""
    properties: Mapping[str, Any]
    """The job definition's `containerProperties`."""
    command: Sequence[str]
    """The arguments of the image's entrypoint."""
    variables: Mapping[str, str]
    """All that the container is told: the definition's variables, the job's, Batch's and the cloud's address."""
    log: Path
    """Where its output goes."""


class Worker(Protocol):
    """A worker that was started."""

    def wait(self, seconds: float) -> Ending:
        """Return how it ended.

        Raises:
            subprocess.TimeoutExpired: it is still running.
        """

    def terminate(self) -> None:
        """Send SIGTERM."""

    def kill(self) -> None:
        """Send SIGKILL, and return when it has ended. A worker that has already ended stays as it is."""


class Machine(Protocol):
    """Starts workers."""

    def start(self, task: Task) -> Worker: ...

    def unpulled(self, task: Task) -> Ending:
        """Return how an attempt ends when its image cannot be pulled."""


def stop(worker: Worker, seconds: float = STOP_SECONDS) -> Ending:
    """Stop a worker as ECS does: SIGTERM, and SIGKILL if it has not ended in time."""
    worker.terminate()
    try:
        return worker.wait(seconds)
    except subprocess.TimeoutExpired:
        worker.kill()
        return worker.wait(seconds)


def exited(code: int) -> Ending:
    """Return the ending of a container whose process ended, with `code` as Popen has it.

    After a signal a container's exit code is 128 and the signal's number, as in a shell.
    """
    return Ending(exit_code=code if code >= 0 else 128 - code, status_reason="Essential container in task exited")


@dataclass(frozen=True, slots=True)
class ProcessWorker:
    """A worker that is a process."""

    process: subprocess.Popen[bytes]

    def wait(self, seconds: float) -> Ending:
        return exited(self.process.wait(seconds))

    def terminate(self) -> None:
        self.process.terminate()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessMachine:
    """Starts each worker as a process in a folder of its own. Nothing limits it as the job definition says."""

    folder: Path

    def start(self, task: Task) -> ProcessWorker:
        workplace = self.folder / task.name  # a container starts with an empty disk
        workplace.mkdir()
        outside = {name: os.environ[name] for name in INSIDE if name in os.environ}
        sealed = {name: value for name, value in SEALED.items() if name != "AWS_DEFAULT_REGION"}
        threads = str(max(1, (os.cpu_count() or 1) // AT_ONCE))  # as many as its vCPUs
        with task.log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "embedder", *task.command],
                cwd=workplace,
                env={**outside, **sealed, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads, **task.variables},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return ProcessWorker(process)

    def unpulled(self, task: Task) -> Ending:
        task.log.touch()
        return NOT_PULLED
