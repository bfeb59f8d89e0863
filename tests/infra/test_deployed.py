"""The synthesized stage, deployed into a simulated account: its outputs drive the whole cloud, end to end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.retry_rules import RETRY_STRATEGY
from scripts.simulation.cloud import Cloud, open_cloud
from scripts.simulation.story import Outcome, Story, chaos_for
from tests.infra.deployment import deploy
from tests.infra.policies import allows, required
from tests.infra.synthesis import Assembly
from tests.photographs import write_photos

IMAGES, SHARD_SIZE = 8, 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """A stage that has done a run with everything going wrong."""

    cloud: Cloud
    outputs: dict[str, str]
    outcome: Outcome
    said: str


@pytest.fixture
def lived(tmp_path: Path, plain: Assembly, dynamodb_endpoint: str, weights: Path) -> Iterator[Lived]:
    made = write_photos(tmp_path / "photographs", IMAGES)
    photographs = {f"images/{path.name}": path.read_bytes() for path in made}
    said: list[str] = []
    with open_cloud(tmp_path, dynamodb=dynamodb_endpoint, name="embedder-prod") as empty:
        variables = {"EMBEDDER_WEIGHTS": str(weights), "EMBEDDER_BATCH_SIZE": "1"}
        cloud, outputs = deploy(plain, empty, variables)
        package = plain.code_of("submitter.handler.handler")
        story = Story(cloud=cloud, folder=tmp_path, shard_size=SHARD_SIZE, say=said.append, package=package)
        outcome = story.tell(photographs, chaos_for(list(photographs), SHARD_SIZE))
        yield Lived(cloud=cloud, outputs=outputs, outcome=outcome, said="\n".join(said))


def test_a_deployed_stage_does_a_run(lived: Lived, plain: Assembly) -> None:
    outcome = lived.outcome
    assert outcome.problems == [], lived.said
    assert (outcome.status["images"], outcome.status["failed"], outcome.status["missing"]) == (IMAGES, 2, 0)
    assert outcome.answer["run_uri"].startswith(f"s3://{lived.outputs['BucketName']}/manifests/")
    assert lived.cloud.table == lived.outputs["TableName"]
    _the_jobs_are_the_stacks_own(lived)
    _nobody_did_what_is_not_allowed(lived, plain)


def _the_jobs_are_the_stacks_own(lived: Lived) -> None:
    (job,) = lived.cloud.batch.describe_jobs(jobs=lived.outcome.answer["jobs"])["jobs"]
    assert job["jobQueue"] == lived.outputs["CpuQueue"]
    assert job["jobDefinition"] == lived.outputs["CpuDefinition"]
    names = [lived.outputs["CpuDefinition"]]
    (definition,) = lived.cloud.batch.describe_job_definitions(jobDefinitions=names)["jobDefinitions"]
    rules = [{**rule, "action": rule["action"].upper()} for rule in definition["retryStrategy"]["evaluateOnExit"]]
    assert {**definition["retryStrategy"], "evaluateOnExit": rules} == RETRY_STRATEGY  # moto writes actions small
    first, second = lived.outcome.children[1].attempts
    assert first.ending.status_reason.startswith("Host EC2")
    assert second.ending.exit_code == 0


def _nobody_did_what_is_not_allowed(lived: Lived, plain: Assembly) -> None:
    """Every request that was really made, against the policies that would have stood in its way."""
    workers = [
        attempt.caller
        for child in [*lived.outcome.children, *lived.outcome.retry_children]
        for attempt in child.attempts
    ]
    for role, callers in {"Submitter": ["lambda"], "CpuWorkersJobWorker": workers}.items():
        calls = [call for caller in callers for call in lived.cloud.calls_of(caller)]
        assert calls
        for call in calls:
            for action, resource in required(call):
                assert allows(plain, role, action, resource), f"{role} may not {action} on {resource}: {call}"
