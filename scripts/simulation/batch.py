"""Batch's scheduler: takes jobs from moto, which only stores them, and runs each child as a real worker."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from moto.batch.models import batch_backends

from scripts.simulation.attempts import Attempt, Child
from scripts.simulation.cloud import Cloud
from scripts.simulation.faults import Fault, Unpulled
from scripts.simulation.gateway import CREDENTIALS_PATH
from scripts.simulation.logbook import last_words
from scripts.simulation.retry_rules import TIMED_OUT, Ending, decide
from scripts.simulation.workers import AT_ONCE, Machine, Task, stop

if TYPE_CHECKING:
    from mypy_boto3_batch.type_defs import JobDefinitionTypeDef, JobDetailTypeDef

ATTEMPT_SECONDS = 600
"""The timeout of an attempt whose job definition names none."""
_ACCOUNT, _REGION = "123456789012", "us-east-1"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """Runs jobs to their end and updates moto's records of them, which `submitter status` reads."""

    cloud: Cloud
    machine: Machine
    folder: Path
    """Holds the workers' logs."""
    say: Say

    def accept(self, job_ids: Sequence[str]) -> None:
        """Put jobs back into the queue: moto marks each as done as soon as it is submitted."""
        for job in self._describe(job_ids):
            for child in _children(job):
                _record(child.job_id, "RUNNABLE")

    def run(self, job_ids: Sequence[str], faults: Mapping[int, Fault] | None = None) -> list[Child]:
        """Run every child, `AT_ONCE` at a time, until each has succeeded or failed for good.

        Args:
            faults: what goes wrong in the first attempt of a child, by its index.
        """
        finished: list[Child] = []
        for job in self._describe(job_ids):
            with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="instance") as instances:
                children = _children(job)
                runs = [
                    instances.submit(self._run, job, child, (faults or {}).get(number))
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

    def _definition(self, job: JobDetailTypeDef) -> JobDefinitionTypeDef:
        named = [job["jobDefinition"]]
        return self.cloud.batch.describe_job_definitions(jobDefinitions=named)["jobDefinitions"][0]

    def _run(self, job: JobDetailTypeDef, child: Child, fault: Fault | None) -> None:
        definition = self._definition(job)
        rules = definition["retryStrategy"]
        while True:
            number = len(child.attempts) + 1
            caller = f"{child.job_id.replace(':', '-')}-{number}"
            attempt = Attempt(number=number, caller=caller, log=self.folder / f"{caller}.log")
            child.attempts.append(attempt)
            _record(child.job_id, "RUNNING")
            self.say(f"  {child.name}, attempt {number}: starts")
            began = time.monotonic()
            attempt.ending = self._attempt(definition, self._task(definition, job, child, attempt), fault)
            attempt.seconds = time.monotonic() - began
            fault = None
            again = not attempt.ending.succeeded and decide(rules, attempt.ending, number) == "RETRY"
            self.say(f"  {child.name}, attempt {number}: {_told(attempt, again)}")
            if not again:
                _record(child.job_id, "SUCCEEDED" if attempt.ending.succeeded else "FAILED", attempt.ending)
                return
            _record(child.job_id, "RUNNABLE")

    def _attempt(self, definition: JobDefinitionTypeDef, task: Task, fault: Fault | None) -> Ending:
        if isinstance(fault, Unpulled):
            return self.machine.unpulled(task)
        worker = self.machine.start(task)
        if fault:
            # In time: the worker needs seconds before its first request.
            self.cloud.gateway.intercepts[task.name] = fault.watch(worker)
        try:
            ending = worker.wait(definition.get("timeout", {}).get("attemptDurationSeconds", ATTEMPT_SECONDS))
        except subprocess.TimeoutExpired:
            ending = replace(stop(worker), status_reason=TIMED_OUT)
        finally:
            worker.kill()
        return fault.ending(ending) if fault else ending

    def _task(self, definition: JobDefinitionTypeDef, job: JobDetailTypeDef, child: Child, attempt: Attempt) -> Task:
        """Return an attempt, with the definition's variables, the job's overrides, and Batch's own.

        Batch sets neither a region nor credentials: the definition names the region, and ECS's agent hands out the
        credentials of the job's role. Batch gives a path below 169.254.170.2, which belongs to that agent.
        """
        batch = {
            "AWS_BATCH_CE_NAME": self.cloud.name,
            "AWS_BATCH_JQ_NAME": self.cloud.name,
            "AWS_BATCH_JOB_ID": child.job_id,
            "AWS_BATCH_JOB_ATTEMPT": str(attempt.number),
        }
        if child.index is not None:
            batch["AWS_BATCH_JOB_ARRAY_INDEX"] = str(child.index)
        container = job["container"]
        return Task(
            name=attempt.caller,
            properties=definition["containerProperties"],
            command=container["command"],
            variables={
                **self.cloud.address(attempt.caller),
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{self.cloud.endpoint}{CREDENTIALS_PATH}{attempt.caller}",
                **{each["name"]: each["value"] for each in container.get("environment", [])},
                **batch,
            },
            log=attempt.log,
        )


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
