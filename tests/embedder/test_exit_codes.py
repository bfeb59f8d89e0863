"""What a run's exit code says: whether to be content, to mend something, or to try again."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest

from embedder.errors import TransientError
from embedder.options import FailureLimit
from embedder.pipeline.ledger import Ledger
from embedder.pipeline.session import exit_code
from embedder.pipeline.stopping import Stop
from embedder.records import Failure
from embedder.stores import sqlite_file
from tests.cli import Cli
from tests.embedder.commands import command
from tests.embedder.conftest import UseEnvironment
from tests.embedder.pictures import jpeg, put
from tests.embedder.stored import contents, fill, many, stored
from tests.parts import fault_proxy
from tests.parts.dynamodb import DynamoDB
from tests.parts.fault_proxy import RESET
from tests.parts.s3 import S3

pytestmark = pytest.mark.usefixtures("encoder")
RANDOM = ("--weights", "random", "--json")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    put(tmp_path / "images", *(f"{number}.jpg" for number in range(8)))
    (tmp_path / "images" / "bad-1.jpg").write_bytes(b"x")
    (tmp_path / "images" / "bad-2.jpg").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "images"


@pytest.mark.parametrize(
    ("limit", "code"),
    [(None, 0), ("100%", 0), ("2", 0), ("20%", 0), ("1", 65), ("0", 65), ("19.9%", 65), ("0%", 65)],
)
def test_failures_within_the_limit_are_no_failure_of_the_run(folder: Path, limit: str | None, code: int) -> None:
    options = () if limit is None else ("--max-failures", limit)
    found = command("run", folder, *RANDOM, *options)
    assert found.returncode == code
    assert found.report["exit_code"] == code
    assert (found.report["images"], found.report["embedded"], found.report["failed"]) == (10, 8, 2)
    assert len(contents("vectors.db")) == 8


def test_skipped_images_count_as_good(folder: Path) -> None:
    assert command("run", folder, *RANDOM, "--max-failures", "20%").returncode == 0
    again = command("run", folder, *RANDOM, "--max-failures", "20%")
    assert (again.returncode, again.report["skipped"], again.report["failed"]) == (0, 8, 2)


def test_a_run_whose_every_image_is_bad_is_65_whatever_the_limit(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(b"x")
    found = command("run", tmp_path / "1.jpg", "--store", tmp_path / "v.db", *RANDOM, "--max-failures", "10")
    assert (found.returncode, found.report["failed"]) == (65, 1)
    assert not (tmp_path / "v.db").exists()


@pytest.mark.usefixtures("impatient")
def test_a_network_that_is_not_there_is_75_even_at_the_start(
    folder: Path, dynamodb: DynamoDB, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in dynamodb.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    for arguments in (
        ("run", folder, "--store", "dynamodb://vectors"),
        ("run", "s3://bucket/images/"),
        ("run", "s3://bucket/s.jsonl"),
    ):
        found = command(*arguments, *RANDOM)
        assert found.returncode == 75, arguments
        assert "did not answer" in found.stderr
        assert found.stderr.count("\n") == 1, found.stderr


def test_a_store_that_stops_answering_is_75_and_the_rest_is_left_for_the_next_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_file, "BUSY_SECONDS", 0.1)
    fill("vectors.db", [stored("elsewhere")])
    other = sqlite3.connect("vectors.db", isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("BEGIN IMMEDIATE")
    try:
        found = command("run", folder, *RANDOM, "--failures", "f.jsonl", "--max-failures", "0")
    finally:
        other.execute("ROLLBACK")
        other.close()
    report = found.report
    assert (found.returncode, report["exit_code"], report["embedded"]) == (75, 75, 0)
    assert report["images"] == report["embedded"] + report["skipped"] + report["failed"]
    lines = [json.loads(line) for line in Path("f.jsonl").read_text().splitlines()]
    assert "StoreUnavailable" in {line["error"] for line in lines}
    assert "locked" in report["stopped"]
    again = command("run", folder, *RANDOM)
    assert (again.returncode, again.report["embedded"], again.report["failed"]) == (0, 8, 2)


@pytest.mark.usefixtures("impatient")
def test_a_bucket_that_stops_answering_is_75(moto_bucket: S3, tmp_path: Path, use_environment: UseEnvironment) -> None:
    moto_bucket.put({f"i/{number}.jpg": jpeg(number) for number in range(30)})
    with fault_proxy.before(moto_bucket.endpoint) as proxy:
        use_environment({"AWS_ENDPOINT_URL_S3": proxy.endpoint})
        proxy.choose = fault_proxy.after(12, RESET, only=r"GET /[^?]+\.jpg")
        found = command("run", moto_bucket.uri("i/"), "--store", tmp_path / "v.db", *RANDOM)
        report = found.report
        assert (found.returncode, report["exit_code"]) == (75, 75)
        assert report["images"] == report["embedded"] + report["skipped"] + report["failed"]
        assert report["stopped"]
        assert len(contents(str(tmp_path / "v.db"))) == report["embedded"] > 0
        proxy.choose = fault_proxy.well
        again = command("run", moto_bucket.uri("i/"), "--store", tmp_path / "v.db", *RANDOM)
    assert again.returncode == 0
    assert again.report["skipped"] == report["embedded"]
    assert len(contents(str(tmp_path / "v.db"))) == 30


@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGINT", 130)])
def test_a_signal_ends_the_run_and_the_next_one_goes_on(cli: Cli, tmp_path: Path, name: str, code: int) -> None:
    import signal

    put(tmp_path / "images", *(f"{number:03d}.jpg" for number in range(150)))
    process = cli.start("run", "images", *RANDOM, "--engine", "torch", "--precision", "full", "--batch-size", "2")
    deadline = time.monotonic() + 60
    while not (tmp_path / "vectors.db").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(getattr(signal, name))
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code, stderr
    report = json.loads(stdout.splitlines()[-1])
    assert report["exit_code"] == code
    assert "Traceback" not in stderr
    assert 0 < report["embedded"] < 150
    assert report["images"] == report["embedded"] + report["skipped"] + report["failed"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["images", "vectors.db"]
    assert len(contents(str(tmp_path / "vectors.db"))) == report["embedded"]
    again = command("run", tmp_path / "images", "--store", tmp_path / "vectors.db", *RANDOM)
    assert (again.returncode, again.report["skipped"]) == (0, report["embedded"])
    assert again.report["embedded"] == 150 - report["embedded"]


class TestPrecedence:
    """Where several hold: the signal, then what may pass, then bad images."""

    def code(self, *, failed: int = 0, transient: int = 0, error: bool = False, signal: int = 0) -> int:
        ledger, stop = Ledger(), Stop()
        ledger.embed(many(5))
        for number in range(failed):
            bad = Failure(image_id=str(number), stage="fetch", error="X", message="x", transient=number < transient)
            ledger.fail(bad)
        if error:
            stop.by_source(TransientError("the network is gone"))
        if signal:
            stop.by_signal(signal)
        return exit_code(ledger, stop, FailureLimit.parse("1"))

    def test_codes(self) -> None:
        assert self.code() == 0
        assert self.code(failed=1) == 0
        assert self.code(failed=2) == 65
        assert self.code(failed=2, transient=1) == 75
        assert self.code(failed=1, transient=1) == 75
        assert self.code(error=True) == 75
        assert self.code(failed=5, error=True, signal=15) == 143
        assert self.code(signal=2) == 130
