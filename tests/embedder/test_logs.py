"""What is seen of a worker from outside: JSON log lines, and the metrics in them."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from embedder import config
from embedder.config import Origin
from embedder.errors import ConfigurationError
from embedder.pipeline import progress
from embedder.pipeline.ledger import Ledger
from embedder.pipeline.metrics import Meter, totals_of_tally
from embedder.records import Failure
from embedder.sources.run import RunShard
from tests.cli import Cli
from tests.embedder import corpus
from tests.embedder.commands import command
from tests.embedder.emf import check, parsed, sums
from tests.embedder.pictures import put
from tests.embedder.sources.test_run import SHARDS, write_run
from tests.embedder.stand_in import PixelEncoder
from tests.embedder.stored import many, stored
from tests.parts.s3 import S3

RUN = "20261123T091500Z-1a2b3c4d"
BATCH = {"AWS_BATCH_JOB_ID": "6a1b:1", "AWS_BATCH_JOB_ATTEMPT": "2", "AWS_BATCH_JOB_ARRAY_INDEX": "1"}
WHO = {"run": RUN, "shard": 1, "job": "6a1b:1", "attempt": 2}
STAGES = ("load", "fetch", "decode", "encode", "write")


def assert_they_are_the_report(lines: list[dict[str, Any]], report: dict[str, Any]) -> None:
    """The metrics of all lines together are what the report says."""
    found = sums(lines)
    for name in ("images", "embedded", "skipped", "failed"):
        assert found[name.capitalize()] == report[name], name
    for stage in STAGES:
        assert found[f"{stage.capitalize()}Seconds"] == pytest.approx(report["seconds_by_stage"][stage], abs=1e-6)
    by_stage: dict[str, int] = {}
    for cause, count in report["failures_by_cause"].items():
        stage = cause.partition(":")[0]
        by_stage[stage] = by_stage.get(stage, 0) + count
    failed = {name.partition(" ")[2]: count for name, count in found.items() if name.startswith("FailedImages ")}
    assert failed == by_stage


@pytest.fixture
def in_batch(use_environment: Callable[[dict[str, str]], None]) -> None:
    use_environment(BATCH)


@pytest.mark.usefixtures("in_batch", "encoder")
class TestAWorkerInBatch:
    @pytest.fixture
    def work(self, moto_bucket: S3, tmp_path: Path) -> Callable[..., Any]:
        location = write_run(moto_bucket)

        def run(*options: str) -> Any:
            return command("run", location.uri, "--store", tmp_path / "v.db", "--weights", "random", *options)

        return run

    def test_every_line_says_whose_it_is_and_together_they_are_the_report(self, work: Callable[..., Any]) -> None:
        found = work("--json")
        lines = parsed(found.stderr)
        for line in lines:
            assert {name: line[name] for name in WHO} == WHO
            assert {"time", "level", "message"} <= line.keys()
        assert found.report["embedded"] == 2
        assert_they_are_the_report(lines, found.report)
        assert lines[-1]["report"] == found.report
        assert lines[-1]["message"].startswith("2 images = 2 embedded")
        assert lines[-1]["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["Deployment"]]
        assert lines[-1]["Deployment"] == "default"

    def test_a_shard_that_is_done_is_not_counted_again(self, work: Callable[..., Any]) -> None:
        work()
        lines = parsed(work().stderr)
        assert sums(lines) == {}
        assert "is done already" in lines[0]["message"]
        assert lines[-1]["report"]["embedded"] == 2

    def test_failures_are_counted_by_stage_and_the_first_are_named(
        self, work: Callable[..., Any], moto_bucket: S3, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EMBEDDER_DEPLOYMENT", "prod")
        moto_bucket.put({SHARDS[1][0]: b"<html>"})
        moto_bucket.client().delete_object(Bucket=moto_bucket.bucket, Key=SHARDS[1][1])
        found = work("--json")
        lines = parsed(found.stderr)
        assert_they_are_the_report(lines, found.report)
        assert sums(lines)["FailedImages decode"] == sums(lines)["FailedImages fetch"] == 1
        of_stages = [line for line in lines if "Stage" in line]
        assert [line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] for line in of_stages] == [
            [["Deployment", "Stage"]]
        ] * 2
        assert {line["Deployment"] for line in of_stages} == {"prod"}
        named = {
            line["image_id"]: (line["level"], line["stage"], line["error"]) for line in lines if "image_id" in line
        }
        assert named == {
            SHARDS[1][0]: ("WARNING", "decode", "NotAnImage"),
            SHARDS[1][1]: ("WARNING", "fetch", "NotFound"),
        }
        assert lines[-1]["level"] == "WARNING"
        assert found.returncode == 65

    def test_a_sentence_for_the_user_is_a_line(self, work: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_BATCH_JOB_ARRAY_INDEX", "9")
        found = work()
        (line,) = parsed(found.stderr)
        assert (found.returncode, line["level"], line["run"], line["shard"]) == (2, "ERROR", RUN, 9)
        assert "has 3 shards" in line["message"]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [(["run", "--bogus"], "'--bogus'"), (["run", "--batch-size"], "expected one argument"), ([], "required")],
    )
    def test_so_is_a_mistake_in_the_command(
        self, arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("EMBEDDER_SOURCE", f"s3://bucket/manifests/{RUN}/")
        found = command(*arguments)
        (line,) = parsed(found.stderr)
        assert found.returncode == 2
        assert said in line["message"]
        assert {name: line[name] for name in WHO} == WHO

    def test_a_bug_is_one_line_with_its_traceback_and_what_was_done_is_counted(
        self, work: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> None:
            raise ZeroDivisionError("by a bug\nof two lines")

        monkeypatch.setattr(RunShard, "publish", broken)
        found = work()
        *before, line = parsed(found.stderr)
        assert (found.returncode, line["level"]) == (1, "CRITICAL")
        assert "ZeroDivisionError: by a bug\nof two lines" in line["traceback"]
        assert "def " not in line["message"]
        assert sums(before)["Embedded"] == 2
        assert {name: line[name] for name in WHO} == WHO

    def test_text_can_be_had_and_quiet_is_quiet(self, work: Callable[..., Any]) -> None:
        assert work("--quiet").stderr == ""
        found = work("--log", "text", "--recompute")
        assert found.stdout.startswith("2 of 2 embedded in ")
        assert not found.stderr.startswith("{")

    def test_a_wrong_value_is_a_sentence(self, work: Callable[..., Any]) -> None:
        found = work("--log", "xml")
        (line,) = parsed(found.stderr)
        assert found.returncode == 2
        assert "--log: 'xml' is not valid: expected one of: text, json" in line["message"]


@pytest.mark.usefixtures("encoder")
class TestOutsideOfBatch:
    def test_lines_are_text_unless_asked_for(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        put(tmp_path / "images", "a\nb\u2028c.jpg", "2.jpg")
        (tmp_path / "images" / "a\nbad.jpg").write_bytes(b"x")
        monkeypatch.chdir(tmp_path)
        words = ("run", "images", "--weights", "random", "--recompute")
        assert command(*words).stdout.startswith("2 of 3 embedded in ")
        monkeypatch.setenv("EMBEDDER_LOG", "json")
        found = command(*words)
        lines = parsed(found.stderr)
        assert found.stdout == ""
        assert [line["image_id"] for line in lines if "image_id" in line] == ["a\nbad.jpg"]
        assert {(line["run"], line["shard"], line["attempt"]) for line in lines} == {("images", None, None)}
        assert_they_are_the_report(lines, lines[-1]["report"])
        monkeypatch.setenv("EMBEDDER_LOG", "yaml")
        found = command(*words)
        assert (found.returncode, found.stderr.count("\n")) == (2, 1)
        assert "EMBEDDER_LOG: 'yaml'" in found.stderr

    def test_progress_comes_in_parts_that_add_up(
        self, encoder: PixelEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
        put(tmp_path / "images", *(f"{number}.jpg" for number in range(40)))
        for number in range(3):
            (tmp_path / "images" / f"bad-{number}.jpg").write_bytes(b"x")
        monkeypatch.chdir(tmp_path)
        found = command("run", "images", "--weights", "random", "--log", "json", "--json")
        lines = parsed(found.stderr)
        assert encoder.opened == 1
        told = [line for line in lines if line.get("Embedded")]
        assert len(told) > 3, "deltas, not all at the end"
        assert max(line["Embedded"] for line in told) < 40
        assert_they_are_the_report(lines, found.report)

    def test_a_run_with_nothing_to_do_counts_what_it_skipped(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path / "images", "1.jpg")
        monkeypatch.chdir(tmp_path)
        for expected in ({"Images": 1, "Embedded": 1}, {"Images": 1, "Skipped": 1}):
            found = command("run", "images", "--weights", "random", "--log", "json", "--json")
            lines = parsed(found.stderr)
            assert {name: value for name, value in sums(lines).items() if name in expected} == expected
            assert_they_are_the_report(lines, found.report)
        assert "ImagesPerSecond" not in lines[-1], "that nothing had to be done is no rate"


@pytest.mark.parametrize("name", ["SIGTERM", pytest.param("SIGINT", marks=pytest.mark.slow)])
def test_a_signal_loses_no_count(cli: Cli, tmp_path: Path, name: str) -> None:
    put(tmp_path / "images", *(f"{number:03d}.jpg" for number in range(150)))
    env = {**BATCH, "EMBEDDER_WEIGHTS": "random", "EMBEDDER_ENGINE": "torch", "EMBEDDER_BATCH_SIZE": "2"}
    process = cli.start("run", "images", "--json", env=env)
    deadline = time.monotonic() + 60
    while not (tmp_path / "vectors.db").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(getattr(signal, name))
    stdout, stderr = process.communicate(timeout=60)
    report = json.loads(stdout.splitlines()[-1])
    lines = parsed(stderr)
    assert 0 < report["embedded"] < 150
    assert_they_are_the_report(lines, report)
    assert "stopped early: signal" in lines[-1]["message"]


@pytest.mark.slow
def test_odd_files_put_nothing_between_the_lines(cli: Cli, tmp_path: Path) -> None:
    """Pillow warns of many of them, and native decoders print what they please."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("exif-6.jpg", "cmyk.tif", "16-bit.tif", "12-bit.tif", "1-bit.tif", "animated.gif", "pages.tif"):
        whole = corpus.MADE[name]()
        (folder / name).write_bytes(whole)
        (folder / f"short-{name}").write_bytes(whole[: len(whole) * 2 // 3])
        (folder / f"odd-{name}").write_bytes(whole[:8] + bytes(byte ^ 0x55 for byte in whole[8:64]) + whole[64:])
    # With a cache of its own, so that models are converted, of which the converters tell too.
    env = {**BATCH, "EMBEDDER_WEIGHTS": "random", "XDG_CACHE_HOME": str(tmp_path / "cache")}
    found = cli("run", "images", "--json", env=env)
    assert found.report["images"] == 21
    assert found.stdout.count("\n") == 1
    assert_they_are_the_report(parsed(found.stderr), found.report)


class TestMeter:
    def meter_and_ledger(self) -> tuple[Meter, Ledger]:
        return Meter("prod"), Ledger()

    def test_only_what_is_new_is_told(self) -> None:
        meter, ledger = self.meter_and_ledger()
        ledger.embed(many(3))
        (first,) = meter.take(totals_of_tally(ledger.tally()))
        assert meter.take(totals_of_tally(ledger.tally())) == []
        ledger.skip(stored("s"))
        ledger.skip(stored("s"))
        ledger.fail(Failure(image_id="x", stage="decode", error="Corrupt", message="x"))
        second, of_stage = meter.take(totals_of_tally(ledger.tally()))
        for line in (first, second, of_stage):
            check(line)
        names = ("Images", "Embedded", "Skipped", "Failed")
        assert [first[name] for name in names] == [3, 3, 0, 0]
        assert [second[name] for name in names] == [3, 0, 2, 1]
        assert (of_stage["Stage"], of_stage["FailedImages"]) == ("decode", 1)
        assert "Images" not in of_stage, "or it would be counted twice"

    def test_a_rate_is_of_the_time_since_the_last_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = 100.0
        monkeypatch.setattr(time, "monotonic", lambda: now)
        meter, ledger = self.meter_and_ledger()
        rates = []
        for seconds, embedded in ((10, 50), (10, 100), (0.2, 16)):
            now += seconds
            ledger.embed(many(embedded))
            rates += [line.get("ImagesPerSecond") for line in meter.take(totals_of_tally(ledger.tally()))]
        assert rates == [5, 10, None]


def test_whose_a_line_is() -> None:
    uri = f"s3://bucket/manifests/{RUN}/"
    assert config.origin(uri, BATCH) == Origin(run=RUN, shard=1, job="6a1b:1", attempt=2)
    assert config.origin(None, {"EMBEDDER_SOURCE": uri, "EMBEDDER_SHARD_OFFSET": "10000"}).shard == 10_000
    assert config.origin("s3://bucket/images/", {}) == Origin(
        run="s3://bucket/images/", shard=None, job=None, attempt=None
    )
    assert config.origin(uri, {"AWS_BATCH_JOB_ARRAY_INDEX": "x", "AWS_BATCH_JOB_ATTEMPT": "x"}).shard is None


def test_the_switch() -> None:
    assert config.log_is_json(None, BATCH)
    assert not config.log_is_json(None, {})
    assert not config.log_is_json(None, {**BATCH, "EMBEDDER_LOG": "text"})
    assert config.log_is_json("json", {"EMBEDDER_LOG": "text"})
    with pytest.raises(ConfigurationError, match="EMBEDDER_LOG"):
        config.log_is_json(None, {"EMBEDDER_LOG": "loud"})
    assert config.deployment({}) == config.deployment({"EMBEDDER_DEPLOYMENT": ""}) == "default"
