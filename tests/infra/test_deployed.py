"""The synthesized stage, deployed into a simulated account: its outputs drive the whole cloud, end to end."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.retry_rules import RETRY_STRATEGY
from scripts.simulation import runtime_api
from scripts.simulation.cloud import Cloud, open_cloud
from scripts.simulation.containers import ENGINE_VARIABLES, ContainerMachine
from scripts.simulation.gateway import CREDENTIALS_PATH, Call
from scripts.simulation.retry_rules import Ending
from scripts.simulation.story import Chaos, Outcome, Story, chaos_for
from scripts.simulation.workers import Machine, ProcessMachine, Task
from submitter.manifest import RunLocation
from tests.infra.deployment import deploy
from tests.infra.enforcement import Enforcement
from tests.infra.synthesis import Assembly
from tests.photographs import write_photos

IMAGES, SHARD_SIZE = 8, 4
NO_WORKERS = ("simulation", "terminal", "lambda", "lambda-without")
"""The other callers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lived:
    """A stage that has done a run with everything going wrong."""

    cloud: Cloud
    outputs: dict[str, str]
    chaos: Chaos
    outcome: Outcome
    said: str
    enforcement: Enforcement
    machine: Machine
    containers: dict[str, dict[str, Any]]
    """The engine's own description of each container, by worker; empty where workers are processes."""
    folder: Path

    @property
    def run(self) -> RunLocation:
        return RunLocation.parse(self.outcome.answer["run_uri"])


@contextmanager
def living(folder: Path, assembly: Assembly, dynamodb: str, weights: str, machine: Machine) -> Iterator[Lived]:
    """Deploy a stage and do a run, with the policies of its roles enforced."""
    made = write_photos(folder / "photographs", IMAGES)
    photographs = {f"images/{path.name}": path.read_bytes() for path in made}
    chaos = chaos_for(list(photographs), SHARD_SIZE)
    said: list[str] = []
    containers: dict[str, dict[str, Any]] = {}
    with open_cloud(folder, dynamodb=dynamodb, name=f"embedder-{uuid.uuid4().hex[:8]}") as empty:
        variables = {"EMBEDDER_WEIGHTS": weights, "EMBEDDER_BATCH_SIZE": "1"}
        cloud, outputs = deploy(assembly, empty, variables)
        enforcement = Enforcement.of(cloud, outputs)

        def allows(call: Call) -> bool:
            if isinstance(machine, ContainerMachine) and call.caller not in {*containers, *NO_WORKERS}:
                containers[call.caller] = _inspected(machine, call.caller)
            return enforcement.allows(call)

        cloud.gateway.allows = allows
        package = assembly.code_of("submitter.handler.handler")
        story = Story(
            cloud=cloud, folder=folder, shard_size=SHARD_SIZE, say=said.append, machine=machine, package=package
        )
        outcome = story.tell(photographs, chaos)
        yield Lived(
            cloud=cloud,
            outputs=outputs,
            chaos=chaos,
            outcome=outcome,
            said="\n".join(said),
            enforcement=enforcement,
            machine=machine,
            containers=containers,
            folder=folder,
        )


def _inspected(machine: ContainerMachine, name: str) -> dict[str, Any]:
    words = [machine.engine, "container", "inspect", name]
    done = subprocess.run(words, env=os.environ | ENGINE_VARIABLES, capture_output=True, text=True, check=True)
    (found,) = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


@pytest.fixture
def lived(tmp_path: Path, plain: Assembly, dynamodb_endpoint: str, weights: Path) -> Iterator[Lived]:
    with living(tmp_path, plain, dynamodb_endpoint, str(weights), ProcessMachine(folder=tmp_path)) as found:
        yield found


def test_a_deployed_stage_does_a_run(lived: Lived, subtests: pytest.Subtests) -> None:
    """With the policies of its roles enforced; then without one statement of the submitter's after the other."""
    _everything_is_accounted_for(lived)
    _each_statement_of_the_submitter_is_needed(lived, subtests)


def _everything_is_accounted_for(lived: Lived) -> None:
    outcome = lived.outcome
    assert outcome.problems == [], lived.said
    assert lived.enforcement.denied == []
    assert (outcome.status["images"], outcome.status["failed"], outcome.status["missing"]) == (IMAGES, 2, 0)
    assert outcome.answer["run_uri"].startswith(f"s3://{lived.outputs['BucketName']}/manifests/")
    assert lived.cloud.table == lived.outputs["TableName"]
    _the_jobs_are_the_stacks_own(lived)


def _the_jobs_are_the_stacks_own(lived: Lived) -> None:
    (job,) = lived.cloud.batch.describe_jobs(jobs=lived.outcome.answer["jobs"])["jobs"]
    assert job["jobQueue"] == lived.outputs["CpuQueue"]
    assert job["jobDefinition"] == lived.outputs["CpuDefinition"]
    definition = _definition(lived)
    rules = [{**rule, "action": rule["action"].upper()} for rule in definition["retryStrategy"]["evaluateOnExit"]]
    assert {**definition["retryStrategy"], "evaluateOnExit": rules} == RETRY_STRATEGY  # moto writes actions small
    first, second = lived.outcome.children[1].attempts
    assert first.ending.status_reason.startswith("Host EC2")
    assert second.ending.exit_code == 0


def _definition(lived: Lived) -> dict[str, Any]:
    names = [lived.outputs["CpuDefinition"]]
    (found,) = lived.cloud.batch.describe_job_definitions(jobDefinitions=names)["jobDefinitions"]
    return dict(found)


def _each_statement_of_the_submitter_is_needed(lived: Lived, subtests: pytest.Subtests) -> None:
    statements = lived.enforcement.statements["submitter"]
    environment = lived.cloud.environment("lambda-without")
    code, log = lived.folder / "lambda", lived.folder / "without.log"
    with runtime_api.serving("submitter.handler.handler", code, environment, log) as function:
        for number, statement in enumerate(statements):
            ours = {each for each in _actions(statement) if each.startswith(("s3:", "dynamodb:", "batch:"))}
            if not ours:
                continue  # writing its log, and mailing the outcome, which Lambda itself does
            with subtests.test(" ".join(sorted(ours))):
                lived.enforcement.without, lived.enforcement.denied = ("submitter", number), []
                with pytest.raises(runtime_api.FunctionError, match="grant the permission"):
                    function.invoke({"Paths": ["images"]})
                assert lived.enforcement.lacking <= ours
    lived.enforcement.without = None


def _actions(statement: dict[str, Any]) -> list[str]:
    return [statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_each_statement_of_the_workers_is_needed(lived: Lived, subtests: pytest.Subtests) -> None:
    _each_statement_of_the_workers_is_needed(lived, subtests)


def _each_statement_of_the_workers_is_needed(lived: Lived, subtests: pytest.Subtests) -> None:
    """A shard is worked on again, by a worker that lacks one statement."""
    for number, statement in enumerate(lived.enforcement.statements["worker"]):
        actions = _actions(statement)
        with subtests.test(" ".join(actions)):
            lived.enforcement.without, lived.enforcement.denied = ("worker", number), []
            log = lived.folder / f"denied-{number}.log"
            ending = _work_again(lived, log)
            said = log.read_text()
            assert "Traceback" not in said
            assert lived.enforcement.denied
            assert lived.enforcement.lacking <= set(actions)
            if actions == ["s3:ListBucket"]:
                # An image that has vanished looks like a forbidden one.
                assert ending.exit_code == 0, said
                assert {each.call.key for each in lived.enforcement.denied} == {lived.chaos.vanishes}
                (failure,) = map(json.loads, lived.cloud.get(lived.run.failures_key(1)).splitlines())
                assert (failure["image_id"], failure["error"]) == (lived.chaos.vanishes, "AccessDenied")
                continue
            assert ending.exit_code == 2, said
    lived.enforcement.without = None


def _work_again(lived: Lived, log: Path) -> Ending:
    """Run a worker for the second shard, as the stack's job definition says."""
    cloud, properties = lived.cloud, _definition(lived)["containerProperties"]
    variables = {
        **{each["name"]: each["value"] for each in properties["environment"]},
        **cloud.address(log.stem),
        "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"{cloud.endpoint}{CREDENTIALS_PATH}{log.stem}",
        "AWS_BATCH_JOB_ARRAY_INDEX": "1",
        "EMBEDDER_SOURCE": lived.run.uri,
        "EMBEDDER_STORE": f"dynamodb://{cloud.table}",
        "EMBEDDER_RECOMPUTE": "true",
    }
    task = Task(name=log.stem, properties=properties, command=properties["command"], variables=variables, log=log)
    worker = lived.machine.start(task)
    try:
        return worker.wait(200)
    finally:
        worker.kill()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_deployed_stage_does_a_run_in_containers(
    tmp_path: Path, plain: Assembly, dynamodb_endpoint: str, machine: ContainerMachine, subtests: pytest.Subtests
) -> None:
    """Each worker in a container of the image, limited as the synthesized job definition says."""
    with living(tmp_path, plain, dynamodb_endpoint, "random", machine) as lived:
        _everything_is_accounted_for(lived)
        _the_containers_are_what_the_template_says(lived, plain)
        _credentials_come_from_the_endpoint_alone(lived)
        _each_statement_of_the_workers_is_needed(lived, subtests)


def _the_containers_are_what_the_template_says(lived: Lived, plain: Assembly) -> None:
    (wanted,) = [
        each["Properties"]["ContainerProperties"]
        for name, each in plain.resources("AWS::Batch::JobDefinition").items()
        if name.startswith("Cpu")
    ]
    needs = {each["Type"]: int(each["Value"]) for each in wanted["ResourceRequirements"]}
    linux = wanted["LinuxParameters"]
    started = [each.caller for child in lived.outcome.children for each in child.attempts]
    assert len(lived.containers) == len(started) - 1 + len(lived.outcome.retry_children), "one image was not pulled"
    for found in lived.containers.values():
        host = found["HostConfig"]
        assert host["NetworkMode"] == "host"
        assert (host["ReadonlyRootfs"], host["Privileged"]) == (wanted["ReadonlyRootFilesystem"], wanted["Privileged"])
        assert (host["Memory"], host["CpuShares"]) == (needs["MEMORY"] << 20, 1024 * needs["VCPU"])
        assert (host["ShmSize"], host["Init"]) == (linux["SharedMemorySize"] << 20, linux["InitProcessEnabled"])
        assert host["Tmpfs"].keys() == {each["ContainerPath"] for each in linux["Tmpfs"]}
        assert all(f"size={each['Size']}m" in host["Tmpfs"][each["ContainerPath"]] for each in linux["Tmpfs"])
        assert found["Config"]["User"] == "10001:10001"
        assert found["Config"]["Cmd"] == wanted["Command"]


def _credentials_come_from_the_endpoint_alone(lived: Lived) -> None:
    for caller, found in lived.containers.items():
        told = dict(each.split("=", 1) for each in found["Config"]["Env"])
        assert not {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} & told.keys()
        assert told["AWS_CONTAINER_CREDENTIALS_FULL_URI"].endswith(caller)
        assert lived.cloud.calls_of(caller)[0].operation == "GetCredentials"
