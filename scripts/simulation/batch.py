"""Batch's scheduler: takes jobs from moto, which only stores them, and runs each child as a real process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from moto.batch.models import batch_backends

from scripts.simulation.attempts import Attempt, Child
from scripts.simulation.cloud import ROOT, Cloud
from scripts.simulation.gateway import CREDENTIALS_PATH, Call, CallerGoneError
from scripts.simulation.logbook import last_words
from scripts.simulation.retry_rules import Ending, decide

if TYPE_CHECKING:
    from mypy_boto3_batch.type_defs import JobDetailTypeDef

AT_ONCE = 2
"""Concurrent workers, whatever the job requests, because this is a single machine."""
ATTEMPT_SECONDS = 600
NOT_PULLED = Ending(
    status_reason="Task failed to start",
    reason="CannotPullContainerError: pull image manifest has been retried 5 time(s): i/o timeout",
)
"""The end of an attempt whose image cannot be pulled."""
_ACCOUNT, _REGION = "123456789012", "us-east-1"

Say = Callable[[str], None]


@dataclass(slots=True, kw_only=True)
class _Reclaim:
    """Kills a worker in the middle of its writes, as the loss of a Spot instance does.

    The worker's first batch of vectors is stored, and it is dead before its next write.
    """

    caller: str
    process: subprocess.Popen[bytes] | None = None
    written: bool = False
    done: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def intercept(self, call: Call, serve: Callable[[], Iterable[bytes]]) -> Iterable[bytes]:
        if call.caller != self.caller or call.operation not in {"BatchWriteItem", "PutObject"}:
            return serve()
        with self.lock:
            if not self.written and call.operation == "BatchWriteItem":
                self.written = True
                return serve()
            assert self.process is not None
            self.process.kill()
            self.process.wait()
            self.done = True
            raise CallerGoneError


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """Runs jobs to their end and updates moto's records of them, which `submitter status` reads."""

    cloud: Cloud
    folder: Path
    """Holds the workers' logs and working folders."""
    say: Say

    def accept(self, job_ids: Sequence[str]) -> None:
        """Put jobs back into the queue: moto marks each as done as soon as it is submitted."""
        for job in self._describe(job_ids):
            for child in _children(job):
                _record(child.job_id, "RUNNABLE")

    def run(self, job_ids: Sequence[str], *, reclaimed: int | None = None, unpulled: int | None = None) -> list[Child]:
        """Run every child, `AT_ONCE` at a time, until each has succeeded or failed for good.

        Args:
            reclaimed: the index of the child whose first attempt loses its instance.
            unpulled: the index of the child whose image cannot be pulled at its first attempt.
        """
        finished: list[Child] = []
        for job in self._describe(job_ids):
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="instance") as instances:
                children = _children(job)
                runs = [
                    instances.submit(self._run, job, child, number == reclaimed, number == unpulled)
                    for number, child in enumerate(children)
                ]
                for run in runs:
                    run.result()
            whole = all(child.succeeded for child in children)
            if len(children) > 1:
                _record(job["jobId"], "SUCCEEDED" if whole else "FAILED")
            finished.extend(children)
        return finished

    def _describe(self, job_ids: Sequence[str]) -> list[JobDetailTypeDef]:
        jobs = self.cloud.batch.describe_jobs(jobs=list(job_ids))["jobs"]
        assert len(jobs) == len(job_ids), "a job is gone"
        return jobs

    def _strategy(self, job: JobDetailTypeDef) -> Mapping[str, Any]:
        definitions = self.cloud.batch.describe_job_definitions(jobDefinitions=[job["jobDefinition"]])
        return definitions["jobDefinitions"][0]["retryStrategy"]

    def _run(self, job: JobDetailTypeDef, child: Child, reclaimed: bool, unpulled: bool) -> None:
        strategy = self._strategy(job)
        while True:
            number = len(child.attempts) + 1
            caller = f"{child.job_id.replace(':', '-')}-{number}"
            attempt = Attempt(number=number, caller=caller, log=self.folder / f"{caller}.log")
            child.attempts.append(attempt)
            reclaim = _Reclaim(caller=caller) if reclaimed and number == 1 else None
            _record(child.job_id, "RUNNING")
            self.say(f"  {child.name}, attempt {number}: starts")
            began = time.monotonic()
            if unpulled and number == 1:
                attempt.log.touch()
                attempt.ending = NOT_PULLED
            else:
                attempt.ending = self._process(job, child, attempt, reclaim)
            attempt.seconds = time.monotonic() - began
            again = not attempt.ending.succeeded and decide(strategy, attempt.ending, number) == "RETRY"
            self.say(f"  {child.name}, attempt {number}: {_told(attempt, again)}")
            if not again:
                _record(child.job_id, "SUCCEEDED" if attempt.ending.succeeded else "FAILED", attempt.ending)
                return
            _record(child.job_id, "RUNNABLE")

    def _process(self, job: JobDetailTypeDef, child: Child, attempt: Attempt, reclaim: _Reclaim | None) -> Ending:
        container = job["container"]
        workplace = self.folder / attempt.caller  # a container starts with an empty disk
        workplace.mkdir()
        with attempt.log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "embedder", *container["command"]],
                cwd=workplace,
                env=self._environment(container.get("environment", []), child, attempt),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        if reclaim:
            # In time: the process needs seconds before its first request.
            reclaim.process = process
            self.cloud.gateway.intercept = reclaim.intercept
        try:
            code = process.wait(ATTEMPT_SECONDS)
        finally:
            process.kill()
            process.wait()
        if reclaim and reclaim.done:
            return Ending(status_reason="Host EC2 (instance i-0123456789abcdef0) terminated.")
        # After a signal a container's exit code is 128 and the signal's number, as in a shell.
        return Ending(
            exit_code=code if code >= 0 else 128 - code,
            status_reason="Essential container in task exited",
        )

    def _environment(self, given: Sequence[Any], child: Child, attempt: Attempt) -> dict[str, str]:
        """Return the container's variables: the definition's, the job's overrides, and Batch's own."""
        batch = {
            "AWS_BATCH_CE_NAME": self.cloud.name,
            "AWS_BATCH_JQ_NAME": self.cloud.name,
            "AWS_BATCH_JOB_ID": child.job_id,
            "AWS_BATCH_JOB_ATTEMPT": str(attempt.number),
        }
        if child.index is not None:
            batch["AWS_BATCH_JOB_ARRAY_INDEX"] = str(child.index)
        role = self.cloud.environment(attempt.caller)
        for name in ("AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            del role[name]  # Batch sets none: the definition names the region, and ECS's agent hands out credentials
        return {
            **role,
            # Batch gives a path below 169.254.170.2, which belongs to ECS's agent.
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.cloud.endpoint}{CREDENTIALS_PATH}{attempt.caller}",
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // AT_ONCE)),  # as many as its vCPUs
            **{each["name"]: each["value"] for each in given},
            **batch,
        }


def _children(job: JobDetailTypeDef) -> list[Child]:
    size = job.get("arrayProperties", {}).get("size", 0)
    if not size:
        return [Child(job_id=job["jobId"], index=None)]
    return [Child(job_id=f"{job['jobId']}:{index}", index=index) for index in range(size)]


def _record(job_id: str, state: str, ending: Ending | None = None) -> None:
    """Write the state of a job into moto's own record of it."""
    job = batch_backends[_ACCOUNT][_REGION].get_job_by_id(job_id)
    assert job is not None, job_id
    job.status = state
    job.job_stopped = state in ("SUCCEEDED", "FAILED")
    job.job_stopped_reason = ending.status_reason if ending else None
    job.exit_code = ending.exit_code if ending else None


def _told(attempt: Attempt, again: bool) -> str:
    ending = attempt.ending
    if ending.succeeded:
        return f"done in {attempt.seconds:.0f} s"
    decision = f"the retry rules say: {'try again' if again else 'give up'}"
    if ending.exit_code is None:
        return f"{ending.reason or ending.status_reason} — {decision}"
    return f"exit code {ending.exit_code} — {decision}. Its last line: {last_words(attempt.log)}"
