"""The whole cloud on this machine, end to end, with everything going wrong that is to be survived.

The story of `scripts/simulate --chaos` is told once, and then looked at part by part. The parts are one test
with subtests, because pytest-xdist would otherwise have each of its workers tell the story anew, and every
worker in it is a process that imports torch.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from scripts.simulation import logbook, runtime_api
from scripts.simulation.attempts import Attempt, Child
from scripts.simulation.books import problems
from scripts.simulation.cloud import ROOT, Cloud, open_cloud
from scripts.simulation.containers import ContainerMachine
from scripts.simulation.story import Chaos, Outcome, Story, chaos_for
from scripts.simulation.workers import STOP_SECONDS, Machine, ProcessMachine
from submitter.manifest import RunLocation
from tests.cli import Cli, Result
from tests.embedder import emf
from tests.photographs import write_photos

SHARD_SIZE = 6
IMAGES = 17  # so that the last shard is short
ODD = "images/photo it's 100% schön + 🐈.JPG"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The story, told, and everything it left behind."""

    cloud: Cloud
    folder: Path
    photographs: dict[str, bytes]
    chaos: Chaos
    outcome: Outcome
    said: str
    weights: str
    """`EMBEDDER_WEIGHTS` of the workers."""

    @property
    def run(self) -> RunLocation:
        return RunLocation.parse(self.outcome.answer["run_uri"])

    def worker(self, cli: Cli, caller: str, **variables: str) -> Result:
        """One more worker on the run, started by hand with Batch's variables."""
        env = {
            **self.cloud.environment(caller),
            "PYTHONPATH": str(ROOT),
            "EMBEDDER_SOURCE": self.run.uri,
            "EMBEDDER_STORE": f"dynamodb://{self.cloud.name}",
            "EMBEDDER_WEIGHTS": self.weights,
            **variables,
        }
        return cli("run", "--json", env=env)


Part = Callable[[Told, Cli], None]
PARTS: list[Part] = []


def part(look: Part) -> Part:
    """A part of `test_the_whole_cloud`, which runs them in this order."""
    PARTS.append(look)
    return look


@contextmanager
def tell(folder: Path, dynamodb_endpoint: str, weights: str, machine: Machine) -> Iterator[Told]:
    made = write_photos(folder / "photographs", IMAGES)
    photographs = {f"images/{path.relative_to(folder / 'photographs')}": path.read_bytes() for path in made}
    photographs[ODD] = photographs.pop("images/photo-0004.jpg")
    chaos = chaos_for(list(photographs), SHARD_SIZE)
    assert ODD not in (chaos.corrupt, chaos.vanishes), "the odd one is to be embedded"
    said: list[str] = []
    with open_cloud(folder, dynamodb=dynamodb_endpoint, name=f"simulation-{folder.name[-8:].lower()}") as cloud:
        cloud.create({"EMBEDDER_WEIGHTS": weights, "EMBEDDER_BATCH_SIZE": "2"})
        story = Story(cloud=cloud, folder=folder, shard_size=SHARD_SIZE, say=said.append, machine=machine)
        yield Told(
            cloud=cloud,
            folder=folder,
            photographs=photographs,
            chaos=chaos,
            outcome=story.tell(photographs, chaos),
            said="\n".join(said),
            weights=weights,
        )


def not_pulled(attempt: Attempt) -> bool:
    return attempt.ending.reason.startswith("CannotPullContainerError: ")


def attempts(told: Told) -> list[Attempt]:
    return [attempt for child in told.outcome.children for attempt in child.attempts]


@part
def the_books_balance(told: Told, _cli: Cli) -> None:
    assert told.outcome.problems == [], told.said
    status = told.outcome.status
    assert (status["images"], status["failed"], status["missing"]) == (IMAGES, 2, 0)
    assert status["embedded"] + status["skipped"] == IMAGES - 2
    assert status["shards"] == status["shards_done"] == 3
    assert status["jobs"] == {"SUCCEEDED": 3}
    assert status["finished"]
    assert status["failures"] == {"decode: Corrupt": 1, "fetch: NotFound": 1}
    assert "they balance: 17 images" in told.said


@part
def every_image_has_its_own_right_vector(told: Told, cli: Cli) -> None:
    """The same photographs from a folder, by the same weights, in one process and one shard, are the measure."""
    for key, body in told.photographs.items():
        path = cli.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    env = {"EMBEDDER_WEIGHTS": told.weights}
    assert cli("run", ".", "--store", "vectors.db", "--quiet", env=env).returncode == 0
    assert cli("read", "vectors.db", "--out", "right.npz", env=env).returncode == 0
    right = np.load(cli.folder / "right.npz")
    expected = dict(zip(right["ids"].tolist(), right["vectors"], strict=True))
    items = told.cloud.items()
    assert items.keys() == told.photographs.keys() - {told.chaos.vanishes}
    assert ODD in items
    for key, item in items.items():
        vector = np.frombuffer(item["Vector"]["B"], item["DataType"]["S"])
        others = [each for name, each in expected.items() if name != key]
        assert np.allclose(vector, expected[key], rtol=1e-3, atol=1e-3), key
        assert not any(np.allclose(vector, other, rtol=1e-2, atol=1e-2) for other in others), key


@part
def the_reclaimed_worker_died_midway_and_the_next_one_went_on(told: Told, _cli: Cli) -> None:
    first, second = told.outcome.children[told.chaos.reclaimed].attempts
    assert first.ending.status_reason.startswith("Host EC2")
    assert first.ending.exit_code is None
    assert second.ending.exit_code == 0
    counts = told.cloud.counts(first.caller)
    assert counts["dynamodb BatchWriteItem"] >= 1
    report = json.loads(told.cloud.get(told.run.report_key(told.chaos.reclaimed)))
    assert (report["embedded"], report["skipped"], report["failed"]) == (SHARD_SIZE - 2, 2, 0)


@part
def others_needed_one_attempt(told: Told, _cli: Cli) -> None:
    for number, child in enumerate(told.outcome.children):
        assert child.succeeded
        assert len(child.attempts) == (2 if number in told.chaos.faults else 1)


@part
def the_stopped_worker_ended_in_time_and_was_tried_again(told: Told, _cli: Cli) -> None:
    assert told.chaos.stopped is not None
    first, second = told.outcome.children[told.chaos.stopped].attempts
    assert [attempt.ending.exit_code for attempt in (first, second)] == [143, 0]
    assert first.seconds < STOP_SECONDS


@part
def workers_have_the_credentials_of_their_role_from_the_container_and_from_nowhere_else(told: Told, _cli: Cli) -> None:
    for attempt in attempts(told):
        assert [call.operation for call in attempt_calls(told, attempt)][:1] == (
            [] if not_pulled(attempt) else ["GetCredentials"]
        )


@part
def an_image_that_could_not_be_pulled_is_pulled_again(told: Told, _cli: Cli) -> None:
    assert told.chaos.unpulled is not None
    first, second = told.outcome.children[told.chaos.unpulled].attempts
    assert not_pulled(first)
    assert attempt_calls(told, first) == []
    assert second.ending.exit_code == 0
    assert "CannotPullContainerError" in told.said


@part
def failures_are_written_before_the_report_which_comes_last(told: Told, _cli: Cli) -> None:
    for attempt in attempts(told):
        calls = [
            (call.operation, call.key.rpartition("/")[0].rpartition("/")[2]) for call in attempt_calls(told, attempt)
        ]
        wrote = [folder for operation, folder in calls if operation == "PutObject"]
        if attempt.ending.succeeded:
            assert wrote == ["failures", "reports"]
            assert calls[-1] == ("PutObject", "reports"), "nothing is done once the report says that all is"
            assert max(number for number, (operation, _) in enumerate(calls) if operation == "BatchWriteItem") < (
                calls.index(("PutObject", "failures"))
            )


def attempt_calls(told: Told, attempt: Attempt) -> list:
    return told.cloud.calls_of(attempt.caller)


@part
def the_log_alone_balances_too(told: Told, _cli: Cli) -> None:
    """Every line names its worker, and a dashboard's sums are the run's figures."""
    children = told.outcome.children
    assert logbook.problems(children, told.outcome.status) == []
    for child in children:
        for attempt in child.attempts:
            for line in logbook.read(attempt.log):
                assert (line["run"], line["shard"]) == (told.run.run_id, child.index)
                if "_aws" in line:
                    emf.check(dict(line))
    # A worker that was killed or stopped may have told what it did; its successor tells it again.
    interrupted = (told.chaos.reclaimed, told.chaos.stopped)
    others = [child for number, child in enumerate(children) if number not in interrupted]
    assert logbook.totals(others) == told_last(others)
    assert told_last(children)["Embedded"] + told_last(children)["Skipped"] == IMAGES - 2
    wrong = {**told.outcome.status, "embedded": 0}
    assert any("the log's Embedded are" in each for each in logbook.problems(children, wrong))


def told_last(children: list[Child]) -> Counter[str]:
    """The metrics of the last attempts."""
    return logbook.metrics([line for child in children for line in logbook.read(child.attempts[-1].log)])


@part
def each_worker_reads_only_its_own_shard(told: Told, _cli: Cli) -> None:
    for number, child in enumerate(told.outcome.children):
        for attempt in child.attempts:
            if not_pulled(attempt):
                continue
            keys = {call.key for call in attempt_calls(told, attempt) if call.operation == "GetObject"}
            shards = {key for key in keys if "/shards/" in key}
            assert shards == {told.run.shard_key(number)}


@part
def the_lambda_answers_as_promised(told: Told, _cli: Cli) -> None:
    answer = told.outcome.answer
    assert answer.keys() >= {"run_uri", "jobs", "shards", "images", "skipped"}
    assert (answer["shards"], answer["images"], len(answer["jobs"])) == (3, IMAGES, 1)


@part
def the_same_request_again_changes_nothing(told: Told, _cli: Cli) -> None:
    assert told.outcome.repeated == told.outcome.answer
    assert told.cloud.counts("lambda")["batch SubmitJob"] == 1
    names = [each["jobName"] for each in jobs(told.cloud, told.run.run_id)]
    assert len(set(names)) == 1


def jobs(cloud: Cloud, run_id: str) -> list:
    filters = [{"name": "JOB_NAME", "values": [f"embedder-{run_id}-*"]}]
    return cloud.batch.list_jobs(jobQueue=cloud.name, filters=filters)["jobSummaryList"]  # type: ignore[arg-type]


@part
def verify_names_what_has_no_vector(told: Told, _cli: Cli) -> None:
    verdict = told.outcome.verdict
    assert verdict["exit_code"] == 1
    assert {each["image_id"]: each["detail"] for each in verdict["differences"]} == {
        told.chaos.corrupt: "decode: Corrupt",
        told.chaos.vanishes: "fetch: NotFound",
    }


@part
def a_retry_embeds_the_repaired_image_and_no_other(told: Told, _cli: Cli) -> None:
    assert told.outcome.retry is not None
    assert told.outcome.retry_status is not None
    assert told.outcome.retry["images"] == 2
    assert told.outcome.retry["run_uri"] != told.outcome.answer["run_uri"]
    (child,) = told.outcome.retry_children
    assert child.index is None, "one shard is a plain job"
    assert [attempt.ending.exit_code for attempt in child.attempts] == [0]
    status = told.outcome.retry_status
    assert (status["embedded"], status["failed"], status["missing"]) == (1, 1, 0)
    assert told.chaos.corrupt in told.cloud.items()


@part
def a_shard_that_is_done_costs_one_read_besides_the_run(told: Told, cli: Cli) -> None:
    before = told.cloud.get(told.run.report_key(1))
    result = told.worker(cli, "again", AWS_BATCH_JOB_ARRAY_INDEX="1")
    assert result.returncode == 0, result.stderr
    assert result.report == json.loads(before)
    calls = [(call.operation, call.key) for call in told.cloud.calls_of("again")]
    assert calls == [("GetObject", told.run.run_key), ("GetObject", told.run.report_key(1))]
    assert told.cloud.get(told.run.report_key(1)) == before


@part
def a_wrong_index_is_a_sentence(told: Told, cli: Cli) -> None:
    wrong: list[tuple[dict[str, str], str]] = [
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "3"}, "number 3"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "1", "EMBEDDER_SHARD_OFFSET": "10000"}, "number 10001"),
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "one"}, "AWS_BATCH_JOB_ARRAY_INDEX: 'one'"),
    ]
    for variables, said in wrong:
        result = told.worker(cli, "wrong", **variables)
        assert result.returncode == 2
        assert said in result.stderr
        assert "Traceback" not in result.stderr
        assert not [call for call in told.cloud.calls_of("wrong") if call.operation == "PutObject"]


@part
def a_mistake_in_the_event_is_the_answer_of_the_lambda(told: Told, cli: Cli) -> None:
    code = told.folder / "lambda"
    environment = told.cloud.environment("mistaken")
    with runtime_api.serving("submitter.handler.handler", code, environment, cli.folder / "log") as function:
        for event, said in (
            ({"Path": ["images"]}, "did you mean Paths"),
            ({"Paths": ["nowhere"]}, "no image was found"),
        ):
            with pytest.raises(runtime_api.FunctionError, match=said):
                function.invoke(event)
        planned = function.invoke({"Paths": ["images"], "DryRun": True})
    assert planned["dry_run"]
    assert not [call for call in told.cloud.calls_of("mistaken") if call.operation in ("PutObject", "SubmitJob")]


@part
def a_function_that_cannot_start_says_why(told: Told, cli: Cli) -> None:
    environment = told.cloud.environment("nobody")
    with (
        runtime_api.serving("nothing.handler", cli.folder, environment, cli.folder / "log") as function,
        pytest.raises(runtime_api.FunctionError, match="nothing"),
    ):
        function.invoke({})


@part
def a_vector_too_many_or_too_few_is_seen(told: Told, _cli: Cli) -> None:
    """The simulation's own judgement is worth something: it sees what is wrong."""
    uri = told.outcome.retry["run_uri"] if told.outcome.retry else ""
    assert problems(told.cloud, uri) == []
    key = {"ImageId": {"S": told.chaos.corrupt}}
    item = told.cloud.items()[told.chaos.corrupt]
    told.cloud.dynamodb.delete_item(TableName=told.cloud.name, Key=key)
    assert any("has no vector of it" in each for each in problems(told.cloud, uri))
    for changes, said in (
        ({"ImageId": {"S": told.chaos.vanishes}}, "failed, but the table has a vector"),
        ({"Vector": {"B": bytes(2048)}}, "not 512 finite numbers"),
        ({"Source": {"S": "s3://elsewhere/1.jpg"}}, "names as its source"),
        ({"Fingerprint": {"S": "another"}}, "several models"),
    ):
        told.cloud.dynamodb.put_item(TableName=told.cloud.name, Item={**item, **changes})
        assert any(said in each for each in problems(told.cloud, uri)), said
    told.cloud.dynamodb.delete_item(TableName=told.cloud.name, Key={"ImageId": {"S": told.chaos.vanishes}})
    told.cloud.dynamodb.put_item(TableName=told.cloud.name, Item=item)
    assert problems(told.cloud, uri) == []


@part
def a_report_that_is_missing_is_seen(told: Told, _cli: Cli) -> None:
    location = RunLocation.parse(told.outcome.retry["run_uri"] if told.outcome.retry else "")
    key = location.report_key(0)
    body = told.cloud.get(key)
    told.cloud.s3.delete_object(Bucket=told.cloud.name, Key=key)
    assert problems(told.cloud, location.uri) == ["shard 0 has no report"]
    told.cloud.put(key, json.dumps({**json.loads(body), "embedded": 0}).encode())
    assert any("its report has" in each for each in problems(told.cloud, location.uri))
    told.cloud.put(key, body)
    assert problems(told.cloud, location.uri) == []


def look_at_all(told: Told, cli: Cli, subtests: pytest.Subtests) -> None:
    for look in PARTS:
        with subtests.test(look.__name__):
            look(told, cli)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulation")


def test_the_whole_cloud(
    folder: Path, dynamodb_endpoint: str, weights: Path, cli: Cli, subtests: pytest.Subtests
) -> None:
    with tell(folder, dynamodb_endpoint, str(weights), ProcessMachine(folder=folder)) as told:
        look_at_all(told, cli, subtests)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_whole_cloud_in_containers(
    folder: Path, dynamodb_endpoint: str, machine: ContainerMachine, cli: Cli, subtests: pytest.Subtests
) -> None:
    with tell(folder, dynamodb_endpoint, "random", machine) as told:
        look_at_all(told, cli, subtests)


def test_chaos_hits_different_children() -> None:
    keys = [f"images/{number}.jpg" for number in range(8)]
    found = chaos_for(keys, 3)
    assert found == Chaos(corrupt="images/0.jpg", vanishes="images/7.jpg", reclaimed=1, unpulled=0, stopped=2)
    assert chaos_for(keys, 100) == replace(found, reclaimed=0, unpulled=None, stopped=None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--chaos", "--images", "3"], "--chaos needs 4 images"),
        (["--images", "0"], "counts from 1"),
        (["--folder", "nowhere"], "there is no folder nowhere"),
        (["--container", "--weights", "mine.pth"], "random or default, not a path"),
    ],
)
def test_a_mistake_in_the_arguments_is_a_sentence(cli: Cli, arguments: list[str], said: str) -> None:
    result = cli(*arguments, program="scripts.simulation")
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.slow
def test_books_that_do_not_balance_are_exit_code_1(cli: Cli, dynamodb_endpoint: str) -> None:
    """Where no worker can work: the weights are not there, which no retry mends."""
    del dynamodb_endpoint  # skips where DynamoDB Local is not installed
    result = cli("--images", "2", "--weights", "nowhere.pth", program="scripts.simulation")
    assert result.returncode == 1, result.stderr
    assert "exit code 2 — the retry rules say: give up" in result.stdout
    assert "the weights nowhere.pth cannot be read" in result.stdout
    assert "PROBLEM: shard 0 has no report" in result.stdout
