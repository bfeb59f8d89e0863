"""The synthesized stage, deployed into a simulated account: its outputs drive the whole cloud, end to end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.retry_rules import RETRY_STRATEGY
from scripts.simulation import runtime_api
from scripts.simulation.cloud import ROOT, Cloud, open_cloud
from scripts.simulation.gateway import Call
from scripts.simulation.story import Outcome, Story, chaos_for
from tests.cli import Cli
from tests.infra.deployment import deploy
from tests.infra.enforcement import Enforcement
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
    enforcement: Enforcement
    folder: Path
    weights: Path


@pytest.fixture
def lived(
    request: pytest.FixtureRequest, tmp_path: Path, plain: Assembly, dynamodb_endpoint: str, weights: Path
) -> Iterator[Lived]:
    made = write_photos(tmp_path / "photographs", IMAGES)
    photographs = {f"images/{path.name}": path.read_bytes() for path in made}
    said: list[str] = []
    with open_cloud(tmp_path, dynamodb=dynamodb_endpoint, name=f"embedder-{len(request.node.name)}") as empty:
        variables = {"EMBEDDER_WEIGHTS": str(weights), "EMBEDDER_BATCH_SIZE": "1"}
        cloud, outputs = deploy(plain, empty, variables)
        enforcement = Enforcement.of(cloud, outputs)
        cloud.gateway.allows = enforcement.allows
        package = plain.code_of("submitter.handler.handler")
        story = Story(cloud=cloud, folder=tmp_path, shard_size=SHARD_SIZE, say=said.append, package=package)
        outcome = story.tell(photographs, chaos_for(list(photographs), SHARD_SIZE))
        yield Lived(
            cloud=cloud,
            outputs=outputs,
            outcome=outcome,
            said="\n".join(said),
            enforcement=enforcement,
            folder=tmp_path,
            weights=weights,
        )


def test_a_deployed_stage_does_a_run(lived: Lived, subtests: pytest.Subtests) -> None:
    """With the policies of its roles enforced; then without one statement of the submitter's after the other."""
    outcome = lived.outcome
    assert outcome.problems == [], lived.said
    assert lived.enforcement.denied == []
    assert (outcome.status["images"], outcome.status["failed"], outcome.status["missing"]) == (IMAGES, 2, 0)
    assert outcome.answer["run_uri"].startswith(f"s3://{lived.outputs['BucketName']}/manifests/")
    assert lived.cloud.table == lived.outputs["TableName"]
    _the_jobs_are_the_stacks_own(lived)
    _each_statement_of_the_submitter_is_needed(lived, subtests)


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


def _each_statement_of_the_submitter_is_needed(lived: Lived, subtests: pytest.Subtests) -> None:
    statements = lived.enforcement.statements["submitter"]
    environment = lived.cloud.environment("lambda-without")
    code, log = lived.folder / "lambda", lived.folder / "without.log"
    with runtime_api.serving("submitter.handler.handler", code, environment, log) as function:
        for number, statement in enumerate(statements):
            actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
            ours = {each for each in actions if each.startswith(("s3:", "dynamodb:", "batch:"))}
            if not ours:
                continue  # writing its log, and mailing the outcome, which Lambda itself does
            with subtests.test(" ".join(sorted(ours))):
                lived.enforcement.without, lived.enforcement.denied = ("submitter", number), []
                with pytest.raises(runtime_api.FunctionError, match="grant the permission"):
                    function.invoke({"Paths": ["images"]})
                assert {_action(call) for call in lived.enforcement.denied} <= ours
    lived.enforcement.without = None


def _action(call: Call) -> str:
    names = {"ListObjectsV2": "ListBucket", "HeadBucket": "ListBucket"}
    return f"{call.service}:{names.get(call.operation, call.operation)}"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_statement_of_the_workers_is_needed(lived: Lived, cli: Cli, subtests: pytest.Subtests) -> None:
    """A shard is worked on again, by a worker that lacks one statement."""
    for number, statement in enumerate(lived.enforcement.statements["worker"]):
        actions = [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]
        if actions == ["s3:ListBucket"]:
            continue  # only makes S3 say 404 where it would say 403, which the simulated S3 always does
        with subtests.test(" ".join(actions)):
            lived.enforcement.without, lived.enforcement.denied = ("worker", number), []
            env = {
                **lived.cloud.environment("denied"),
                "PYTHONPATH": str(ROOT),
                "EMBEDDER_SOURCE": lived.outcome.answer["run_uri"],
                "EMBEDDER_STORE": f"dynamodb://{lived.cloud.table}",
                "EMBEDDER_WEIGHTS": str(lived.weights),
                "EMBEDDER_RECOMPUTE": "true",
                "AWS_BATCH_JOB_ARRAY_INDEX": "1",
            }
            result = cli("run", "--json", env=env)
            assert result.returncode == 2, result.stderr
            assert "Traceback" not in result.stderr
            assert {f"{call.service}:{call.operation}" for call in lived.enforcement.denied} <= set(actions)
            assert lived.enforcement.denied
