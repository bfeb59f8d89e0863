"""Workers in containers of the built image, limited as the job definition says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from scripts.simulation.cloud import ROOT
from scripts.simulation.retry_rules import Ending
from scripts.simulation.workers import CANNOT_START, Task, exited

IMAGE = "localhost/embedder"
"""The image that `scripts/image` builds. It stands for the one that the job definition names."""
NOT_STARTED = 125
"""The exit code of `podman run` and `docker run` when the engine could not start the container."""
ENGINE_VARIABLES = {"CONTAINERS_CONF": str(ROOT / "scripts" / "containers.conf")}


class EngineError(Exception):
    """There is no engine or no image; what was wrong is on stderr."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerWorker:
    """A worker that is a container, and the engine's process that waits for it."""

    engine: str
    name: str
    task: Task
    process: subprocess.Popen[bytes]

    def wait(self, seconds: float) -> Ending:
        code = self.process.wait(seconds)
        return _not_started("CannotStartContainerError", self.task) if code == NOT_STARTED else exited(code)

    def terminate(self) -> None:
        _engine(self.engine, "kill", "--signal", "TERM", self.name).check_returncode()

    def kill(self) -> None:
        if self.process.poll() is None:
            _engine(self.engine, "kill", "--signal", "KILL", self.name)  # fails if it ends at this moment
        self.process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerMachine:
    """Starts each worker as a container on the host's network, as Batch does on EC2."""

    engine: str
    """`podman` or `docker`."""

    @classmethod
    def prepare(cls) -> ContainerMachine:
        """Find the engine and build the image, each of which may take minutes the first time.

        Raises:
            EngineError: one of them failed.
        """
        engine = _script("engine")
        _script("image", engine)
        return cls(engine=engine)

    def start(self, task: Task) -> ContainerWorker:
        return self._start(task, IMAGE)

    def unpulled(self, task: Task) -> Ending:
        """Ask the engine for an image that it does not have and may not pull."""
        self._start(task, f"{IMAGE}:not-here").process.wait()
        return _not_started("CannotPullContainerError", task)

    def _start(self, task: Task, image: str) -> ContainerWorker:
        words = [*self._limits(task.properties), *_variables(task.variables)]
        with task.log.open("wb") as output:
            process = subprocess.Popen(
                [self.engine, "run", "--rm", "--name", task.name, "--pull", "never", *words, image, *task.command],
                env=os.environ | ENGINE_VARIABLES,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        return ContainerWorker(engine=self.engine, name=task.name, task=task, process=process)

    def _limits(self, properties: Mapping[str, Any]) -> Iterator[str]:
        """Yield the engine's options for a job definition, as ECS's agent gives them to Docker."""
        yield from ("--network", "host")
        needs = {each["type"]: each["value"] for each in properties["resourceRequirements"]}
        yield from ("--memory", f"{needs['MEMORY']}m", "--cpu-shares", str(1024 * int(needs["VCPU"])))
        if properties["privileged"]:
            yield "--privileged"
        if properties["readonlyRootFilesystem"]:
            yield "--read-only"
            if self.engine == "podman":
                yield "--read-only-tmpfs=false"  # podman would make /run and /var/tmp writable, which Docker does not
        linux = properties["linuxParameters"]
        if linux["initProcessEnabled"]:
            yield "--init"
        yield from ("--shm-size", f"{linux['sharedMemorySize']}m")
        for each in linux["tmpfs"]:
            # Docker adds noexec to every tmpfs; podman does not.
            options = ",".join([*each["mountOptions"], "noexec", f"size={each['size']}m"])
            yield from ("--tmpfs", f"{each['containerPath']}:{options}")


def _variables(variables: Mapping[str, str]) -> Iterator[str]:
    for name, value in variables.items():
        yield from ("--env", f"{name}={value}")


def _not_started(error: str, task: Task) -> Ending:
    """Return the ending of an attempt that the engine refused to start: ECS's error, and the engine's own words."""
    said = task.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    task.log.write_text("")  # a worker that never ran has logged nothing
    return Ending(status_reason=CANNOT_START, reason=f"{error}: {said[-1]}")


def _engine(engine: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([engine, *words], env=os.environ | ENGINE_VARIABLES, capture_output=True, check=False)


def _script(name: str, *arguments: str) -> str:
    """Run a script of the project, whose stderr a person sees, and return the last word on stdout."""
    done = subprocess.run([ROOT / "scripts" / name, *arguments], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise EngineError(f"scripts/{name} ended with exit code {done.returncode}")
    return done.stdout.strip()
