from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from submitter.cli import main
from submitter.config import VARIABLES
from tests.submitter.cloud import Cloud


@pytest.fixture
def cloud(submitter_cloud: Cloud, submitter_environment: pytest.MonkeyPatch) -> Cloud:
    """Everything must come from options."""
    for variable in VARIABLES.values():
        submitter_environment.delenv(variable)
    submitter_cloud.put(*(f"images/{number}.jpg" for number in range(5)), "images/notes.txt")
    return submitter_cloud


def places(cloud: Cloud) -> list[str]:
    return [part for name in VARIABLES for part in (f"--{name}", getattr(cloud.targets, name))]


def last_line(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


@pytest.fixture
def run(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["submit", "images", *places(cloud), "--shard-size", "2", "--json"]) == 0
    uri = last_line(capsys)["run_uri"]
    assert isinstance(uri, str)
    return uri


def test_submit(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["submit", "/images", *places(cloud), "--suffixes", "JPG, .png"]) == 0
    said = capsys.readouterr()
    (job,) = cloud.jobs()
    assert job["jobId"] in said.out
    assert "5 (35 B) in 1 shard\n" in said.out
    assert "1 suffix" in said.out
    assert "--run-id" in said.err


def test_submit_by_the_lambdas_environment(
    cloud: Cloud, submitter_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, variable in VARIABLES.items():
        submitter_environment.setenv(variable, getattr(cloud.targets, name))
    assert main(["submit", "images", "--json"]) == 0
    assert last_line(capsys)["images"] == 5


def test_an_option_wins_over_the_environment(
    cloud: Cloud, submitter_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    submitter_environment.setenv("S3_BUCKET_NAME", "no-such-bucket-anywhere")
    assert main(["submit", "images", *places(cloud), "--json"]) == 0
    assert last_line(capsys)["images"] == 5


def test_going_on_with_a_submission(cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["submit", "images", *places(cloud), "--run-id", "mine", "--json"]
    assert main(command) == 0
    first = last_line(capsys)
    assert main(command) == 0
    assert last_line(capsys) == first
    assert first["run_uri"].endswith("/manifests/mine/")
    assert len(cloud.jobs()) == 1


def test_a_dry_run(cloud: Cloud, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    before = cloud.keys()
    rates = tmp_path / "rates.json"
    rates.write_text('{"as_of": "my contract"}')
    command = ["submit", "--whole-bucket", "--bucket", cloud.targets.bucket, "--dry-run"]
    assert main([*command, "--rates", str(rates)]) == 0
    said = capsys.readouterr().out
    assert "images      5 (35 B) in 1 shard, 1 job\n" in said
    assert "by my contract" in said
    assert main([*command, "--json"]) == 0
    planned = last_line(capsys)
    assert (planned["images"], planned["write_units"], planned["run_uri"]) == (5, 15, None)
    assert cloud.keys() == before


def test_status(cloud: Cloud, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.report(run, 0, embedded=2, skipped=0)
    cloud.report(run, 1, embedded=1, skipped=0, failures=["images/3.jpg"])
    assert main(["status", run, "--json"]) == 1
    status = last_line(capsys)
    assert {name: status[name] for name in ("images", "embedded", "skipped", "failed", "missing")} == {
        "images": 5,
        "embedded": 3,
        "skipped": 0,
        "failed": 1,
        "missing": 1,
    }
    assert (status["shards"], status["shards_done"], status["jobs"]) == (3, 2, {"SUCCEEDED": 3})
    assert main(["status", run]) == 1
    said = capsys.readouterr().out
    assert "3 embedded, 0 skipped (already in the table), 1 failed, 1 missing" in said
    assert "1 decode: UnidentifiedImageError" in said
    assert f"submitter retry {run}" in said


def test_watching_a_run_that_is_finished(cloud: Cloud, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    for number, images in enumerate((2, 2, 1)):
        cloud.report(run, number, embedded=images, skipped=0)
    assert main(["status", run, "--watch", "--interval", "0.1", "--json"]) == 0
    said = capsys.readouterr()
    assert "100% 5 of 5 images" in said.err
    assert json.loads(said.out)["finished"] is True


def test_retry_needs_nothing_but_the_run(cloud: Cloud, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    cloud.report(run, 0, embedded=2, skipped=0)
    cloud.report(run, 1, embedded=1, skipped=0, failures=["images/3.jpg"])
    assert main(["retry", run, "--json"]) == 0
    again = last_line(capsys)
    assert (again["images"], again["shards"]) == (2, 1)
    assert [entry.key for entry in cloud.entries(again["run_uri"])[0]] == ["images/3.jpg", "images/4.jpg"]
    assert cloud.run(again["run_uri"]).source == run
    assert len(cloud.jobs()) == 2


def test_retry_of_nothing(cloud: Cloud, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    for number, images in enumerate((2, 2, 1)):
        cloud.report(run, number, embedded=images, skipped=0)
    assert main(["retry", run]) == 0
    assert "nothing to retry" in capsys.readouterr().out
    assert len(cloud.jobs()) == 1


def test_retry_while_jobs_are_live(
    cloud: Cloud, run: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    del cloud
    monkeypatch.setattr("submitter.job_states._states", lambda _: {"RUNNING": 3})
    assert main(["retry", run]) == 2
    assert "3 jobs of the run are not finished" in capsys.readouterr().err
    assert main(["retry", run, "--now", "--json"]) == 0
    assert last_line(capsys)["images"] == 5


def test_verify(cloud: Cloud, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    etag = cloud.entries(run)[0][0].etag
    assert etag
    for number in range(4):
        cloud.store(f"images/{number}.jpg", etag)
    assert main(["verify", run]) == 1
    said = capsys.readouterr().out
    assert "absent\t'images/4.jpg'\tin the manifest, but not in the table" in said
    assert main(["verify", run, "--json"]) == 1
    assert last_line(capsys)["counts"] == {"absent": 1}
    cloud.store("images/4.jpg", etag)
    assert main(["verify", run, "--json"]) == 0
    assert last_line(capsys)["differences"] == []


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["submit"], 2, "name a folder of the bucket"),
        (["submit", "images"], 2, "not set: S3_BUCKET_NAME (--bucket), DYNAMODB_TABLE_NAME (--table)"),
        (["submit", "images", "--dry-run"], 2, "not set: S3_BUCKET_NAME (--bucket). "),
        (["submit", "/", "--bucket", "b"], 2, "--whole-bucket"),
        (["submit", "a", "--shard-size", "0"], 2, "from 1 to 10,000"),
        (["submit", "a", "--suffixes", ","], 2, "expected a list such as"),
        (["status", "s3://bucket/"], 2, "expected s3://BUCKET/manifests/RUN_ID/"),
        (["status", "s3://no-such-bucket-anywhere/manifests/r/"], 2, "check the name of the bucket"),
    ],
)
def test_mistakes_are_a_sentence(
    cloud: Cloud, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, complaint: str
) -> None:
    del cloud
    assert main(arguments) == code
    said = capsys.readouterr()
    assert complaint in said.err
    assert said.err.count("\n") == 1
    assert said.err.startswith("submitter: ")
    assert main([*arguments, "--json"]) == code
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["exit_code"] == code


def test_more_mistakes(cloud: Cloud, run: str, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = f"s3://{cloud.targets.bucket}/manifests/nothing/"
    assert main(["retry", nowhere]) == 2
    assert "there is no run at" in capsys.readouterr().err
    assert main(["status", run, "--interval", "0"]) == 2
    assert "expected seconds above zero" in capsys.readouterr().err
    assert main(["submit", "images", *places(cloud), "--rates", "x.json"]) == 2
    assert "--rates is only for --dry-run" in capsys.readouterr().err


def test_an_unreachable_aws_is_75(
    submitter_environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    submitter_environment.setattr("submitter.clients._PATIENT", None)
    submitter_environment.setenv("AWS_MAX_ATTEMPTS", "1")
    assert main(["status", "s3://bucket/manifests/r/"]) == 75
    assert "try again" in capsys.readouterr().err


def test_help_is_there_for_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ([], ["submit"], ["status"], ["retry"], ["verify"]):
        with pytest.raises(SystemExit) as ended:
            main([*command, "--help"])
        assert ended.value.code == 0
        assert "usage: submitter" in capsys.readouterr().out
