"""All of it in order: photographs, the Lambda, the workers, the result of each image."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.simulation import logbook, runtime_api
from scripts.simulation.attempts import Child
from scripts.simulation.batch import Say, Scheduler
from scripts.simulation.books import problems
from scripts.simulation.cloud import ROOT, Cloud
from scripts.simulation.faults import Fault, Reclaimed, Stopped, Unpulled
from scripts.simulation.workers import AT_ONCE, Machine, ProcessMachine

FOLDER = "images"
CORRUPT_BYTES = 3000
"""The bytes that chaos leaves of an image: its beginning, so that it still looks like a JPEG."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chaos:
    """Deliberate faults."""

    corrupt: str
    """The key of an image that is truncated before the run and repaired before the retry."""
    vanishes: str
    """The key of an image that is deleted after it was listed."""
    reclaimed: int
    """The child that loses its Spot instance in its first attempt."""
    unpulled: int | None
    """The child whose image cannot be pulled at its first attempt; None if there is only one child."""
    stopped: int | None
    """The child that gets SIGTERM in its first attempt; None if there are only two children."""

    @property
    def faults(self) -> dict[int, Fault]:
        """The faults of first attempts, by child."""
        found: dict[int, Fault] = {self.reclaimed: Reclaimed()}
        if self.unpulled is not None:
            found[self.unpulled] = Unpulled()
        if self.stopped is not None:
            found[self.stopped] = Stopped()
        return found


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What the simulation checks at the end."""

    answer: dict[str, Any]
    """The answer of the Lambda."""
    repeated: dict[str, Any]
    """Its answer to the same request, delivered again."""
    children: list[Child]
    status: dict[str, Any]
    """`submitter status --json`."""
    verdict: dict[str, Any]
    """`submitter verify --json`."""
    problems: list[str]
    """Why the books do not balance; empty when they do."""
    retry: dict[str, Any] | None = None
    """`submitter retry --json`, where something had failed."""
    retry_children: list[Child] = field(default_factory=list)
    retry_status: dict[str, Any] | None = None


@dataclass(slots=True, kw_only=True)
class Story:
    """One run from photographs to vectors, with a commentary."""

    cloud: Cloud
    """Created and empty."""
    folder: Path
    """For logs, and for the files of the Lambda and the workers."""
    shard_size: int
    say: Say
    machine: Machine | None = None
    """Starts the workers; by default as processes."""
    package: Path = ROOT
    """The deployment package: a folder that contains `submitter/`."""

    def tell(self, photographs: dict[str, bytes], chaos: Chaos | None = None) -> Outcome:
        """Embed photographs, given by their keys."""
        cloud = self.cloud
        machine = self.machine or ProcessMachine(folder=self.folder)
        scheduler = Scheduler(cloud=cloud, machine=machine, folder=self.folder, say=self.say)
        self._heading("Photographs")
        for key, body in photographs.items():
            cloud.put(key, body[:CORRUPT_BYTES] if chaos and key == chaos.corrupt else body)
        self.say(f"{len(photographs)} objects are in s3://{cloud.bucket}/{FOLDER}/")
        if chaos:
            self.say(f"chaos: {chaos.corrupt!r} is truncated after {CORRUPT_BYTES:,} bytes")
        answer, repeated = self._submit(scheduler)
        if chaos:
            cloud.s3.delete_object(Bucket=cloud.bucket, Key=chaos.vanishes)
            self.say(f"chaos: {chaos.vanishes!r} is deleted, after it was listed")
        self._heading("Batch")
        self.say(f"{answer['shards']} shards, a worker for each, {AT_ONCE} at a time:")
        children = scheduler.run(answer["jobs"], chaos.faults if chaos else None)
        self._heading("Result")
        status = self._ask("status", answer["run_uri"])
        verdict = self._ask("verify", answer["run_uri"])
        outcome = Outcome(
            answer=answer,
            repeated=repeated,
            children=children,
            status=status,
            verdict=verdict,
            problems=[
                *problems(cloud, answer["run_uri"]),
                *_disagreement(status, verdict),
                *logbook.problems(children, status),
            ],
        )
        if chaos:
            self._retry(outcome, chaos, photographs, scheduler)
        self._show_vectors()
        self._show_requests(children, len(photographs))
        self._show_log(children)
        self._close(outcome)
        return outcome

    def _submit(self, scheduler: Scheduler) -> tuple[dict[str, Any], dict[str, Any]]:
        event = {"Paths": [FOLDER], "ShardSize": self.shard_size}
        code = self.folder / "lambda"
        shutil.copytree(self.package / "submitter", code / "submitter", ignore=shutil.ignore_patterns("__pycache__"))
        self._heading("Lambda")
        with runtime_api.serving(
            "submitter.handler.handler", code, self.cloud.environment("lambda"), self.folder / "lambda.log"
        ) as function:
            self.say(f"invoked with {json.dumps(event)}")
            answer = function.invoke(event, request_id="00000000-aaaa-bbbb-cccc-000000000001")
            scheduler.accept(answer["jobs"])
            self.say(f"answers {json.dumps(answer, indent=2)}")
            repeated = function.invoke(event, request_id="00000000-aaaa-bbbb-cccc-000000000001")
        submitted = self.cloud.counts("lambda")["batch SubmitJob"]
        same = "the same answer" if repeated == answer else f"ANOTHER answer: {json.dumps(repeated)}"
        self.say(f"the same request once more, as AWS may deliver it: {same}, {submitted} SubmitJob in all")
        return answer, repeated

    def _retry(self, outcome: Outcome, chaos: Chaos, photographs: dict[str, bytes], scheduler: Scheduler) -> None:
        self._heading("Retry")
        self.cloud.put(chaos.corrupt, photographs[chaos.corrupt])
        self.say(f"somebody repairs {chaos.corrupt!r}")
        outcome.retry = self._ask("retry", outcome.answer["run_uri"])
        scheduler.accept(outcome.retry["jobs"])
        outcome.retry_children = scheduler.run(outcome.retry["jobs"])
        outcome.retry_status = self._ask("status", outcome.retry["run_uri"])
        outcome.problems += problems(self.cloud, outcome.retry["run_uri"])
        outcome.problems += logbook.problems(outcome.retry_children, outcome.retry_status)

    def _ask(self, command: str, run_uri: str) -> dict[str, Any]:
        """Run a command of `submitter` as a person does, show its output, and return its JSON."""
        self.say(f"$ submitter {command} {run_uri}")
        if command != "retry":  # a second call would retry again
            self.say(self._command("submitter", command, run_uri).rstrip())
        answered = self._command("submitter", command, run_uri, "--json").splitlines()
        found: dict[str, Any] = json.loads(answered[-1])
        if command == "retry":
            self.say(json.dumps(found, indent=2))
        return found

    def _command(self, program: str, *arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", program, *arguments],
            cwd=self.folder,
            env=self.cloud.environment("terminal") | {"PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode not in (0, 1):
            raise RuntimeError(f"{program} {arguments[0]} ended with exit code {done.returncode}: {done.stderr}")
        return done.stdout

    def _show_vectors(self) -> None:
        self._heading("Vectors")
        some = sorted(self.cloud.items())[:3]
        self.say(f"$ embedder read dynamodb://{self.cloud.table} {' '.join(repr(each) for each in some)}")
        self.say(self._command("embedder", "read", f"dynamodb://{self.cloud.table}", *some).rstrip())

    def _show_requests(self, children: Sequence[Child], images: int) -> None:
        """Show the requests of the Lambda and of the run's workers."""
        self._heading("Requests")
        workers = Counter[str]()
        for child in children:
            for attempt in child.attempts:
                workers += self.cloud.counts(attempt.caller)
        for who, counts in {"the Lambda, asked twice": self.cloud.counts("lambda"), "the workers": workers}.items():
            listed = ", ".join(f"{count} {operation}" for operation, count in sorted(counts.items()))
            self.say(f"{who}, for {images} images in shards of {self.shard_size}: {listed}")

    def _show_log(self, children: Sequence[Child]) -> None:
        """Show the last line of one worker, and the sums that CloudWatch would show."""
        self._heading("The log")
        last = logbook.read(children[-1].attempts[-1].log)[-1]
        shown = {name: last[name] for name in ("time", "level", "message", "run", "shard", "attempt") if name in last}
        self.say(f"a worker's last line begins {json.dumps(shown)}")
        found = logbook.totals(children)
        self.say("sums of the metrics: " + ", ".join(f"{name} {found[name]:g}" for name in logbook.COUNTS))

    def _close(self, outcome: Outcome) -> None:
        self._heading("The books")
        if outcome.repeated != outcome.answer:
            outcome.problems.append("the same request was answered differently the second time")
        if outcome.problems:
            for problem in outcome.problems:
                self.say(f"PROBLEM: {problem}")
            return
        status = outcome.status
        self.say(
            f"they balance: {status['images']} images = {status['embedded']} embedded + {status['skipped']} skipped "
            f"+ {status['failed']} failed, and the table holds exactly the vectors it should"
        )

    def _heading(self, title: str) -> None:
        self.say(f"\n== {title}")


def _disagreement(status: dict[str, Any], verdict: dict[str, Any]) -> list[str]:
    """Return where the submitter's own commands do not account for every image."""
    found = []
    if status["missing"] or not status["finished"]:
        found.append(f"`submitter status` reports {status['missing']} missing images")
    if verdict["counts"] != ({"failed": status["failed"]} if status["failed"] else {}):
        found.append(f"`submitter verify` finds {verdict['counts']}, `submitter status` {status['failed']} failed")
    return found


def chaos_for(keys: Sequence[str], shard_size: int) -> Chaos:
    """Return faults at the beginning, in the middle and at the end of a run of at least four images."""
    ordered = sorted(keys, key=lambda key: key.encode())  # as S3 lists them
    shards = -(-len(ordered) // shard_size)
    return Chaos(
        corrupt=ordered[0],
        vanishes=ordered[-1],
        reclaimed=min(1, shards - 1),
        unpulled=0 if shards > 1 else None,
        stopped=2 if shards > 2 else None,
    )
