"""A worker on a run: its shard, its report, and what a second attempt finds. The model is a stand-in."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from embedder import exit_codes
from embedder.config import shard_index
from embedder.errors import ConfigurationError, TransientError
from embedder.options import Layer
from embedder.pipeline.report import Report
from embedder.pipeline.session import embed, open_session
from embedder.sources.reader import S3Reader
from embedder.stores import open_store
from submitter.manifest import Entry, Run, RunLocation
from tests.embedder.pictures import jpeg
from tests.embedder.stand_in import PixelEncoder
from tests.embedder.stored import contents
from tests.parts.s3 import S3

SHARDS = (("images/0.jpg", "images/1.jpg"), ("images/2.jpg", "images/3.jpg"), ("images/4.jpg",))


@dataclass(slots=True)
class Submitted:
    """A run as the submitter leaves it, and every request that S3 gets while a worker is on it."""

    s3: S3
    location: RunLocation
    store: str
    requests: list[tuple[str, str]] = field(default_factory=list)

    def work(self, shard: int = 0, *, store: str | None = None, **options: Any) -> Report:
        """Run a worker in this process."""
        self.requests.clear()
        return open_session(
            self.location.uri, store or self.store, Layer(values={"weights": "random", **options}), shard=shard
        ).run()

    def report(self, shard: int) -> dict[str, Any] | None:
        key = self.location.report_key(shard)
        return json.loads(self.s3.get(key)) if key in self.s3.keys(self.location.root) else None

    def failures(self, shard: int) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.s3.get(self.location.failures_key(shard)).splitlines()]

    def written(self) -> list[str]:
        """The kinds of what the last worker put, in order."""
        keys = [key for method, key in self.requests if method == "PutObject"]
        return [key.removeprefix(self.location.root).partition("/")[0] for key in keys]


def write_run(s3: S3, *, options: dict[str, Any] | None = None, table: str = "vectors") -> RunLocation:
    """Put a run of `SHARDS` into the bucket, as the submitter writes it."""
    location = RunLocation(bucket=s3.bucket, run_id="20261123T091500Z-1a2b3c4d")
    pictures = {key: jpeg(int(key[7:-4])) for keys in SHARDS for key in keys}
    s3.put(pictures)
    etags = {key: s3.client().head_object(Bucket=s3.bucket, Key=key)["ETag"] for key in pictures}
    for number, keys in enumerate(SHARDS):
        entries = [Entry(key=key, etag=etags[key].strip('"'), size=len(pictures[key])) for key in keys]
        s3.put({location.shard_key(number): "".join(each.to_line() for each in entries).encode()})
    run = Run(
        run_id=location.run_id,
        bucket=s3.bucket,
        source="paths",
        paths=("images/",),
        images=len(pictures),
        bytes=sum(map(len, pictures.values())),
        skipped={},
        shards=len(SHARDS),
        shard_size=2,
        table=table,
        options=options or {},
        created="2026-11-23T09:15:00+00:00",
    )
    s3.put({location.run_key: run.to_json().encode()})
    return location


@pytest.fixture
def submitted(moto_bucket: S3, tmp_path: Path, encoder: PixelEncoder, monkeypatch: pytest.MonkeyPatch) -> Submitted:
    del encoder  # it stands in for the model
    found = Submitted(s3=moto_bucket, location=write_run(moto_bucket), store=str(tmp_path / "vectors.db"))
    made = S3Reader.__init__

    def opened(self: S3Reader, *arguments: Any) -> None:
        made(self, *arguments)
        self.client.meta.events.register("provide-client-params.s3.*", note)

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        found.requests.append((model.name, params.get("Key", "")))

    monkeypatch.setattr(S3Reader, "__init__", opened)
    return found


def test_a_worker_takes_its_shard_and_reports(submitted: Submitted) -> None:
    report = submitted.work(1)
    assert (report.embedded, report.exit_code) == (2, 0)
    assert set(contents(submitted.store)) == set(SHARDS[1])
    assert submitted.report(1) == json.loads(json.dumps(report.as_json()))
    assert submitted.failures(1) == []
    assert submitted.report(0) is submitted.report(2) is None


def test_all_shards_together_are_the_run(submitted: Submitted) -> None:
    reports = [submitted.work(number) for number in range(len(SHARDS))]
    assert [report.images for report in reports] == [2, 2, 1]
    assert set(contents(submitted.store)) == {key for keys in SHARDS for key in keys}


def test_the_report_is_the_last_thing_written(submitted: Submitted) -> None:
    submitted.work()
    assert submitted.written() == ["failures", "reports"]
    assert submitted.requests[-1] == ("PutObject", submitted.location.report_key(0))


def test_failures_are_named_in_the_run(submitted: Submitted) -> None:
    submitted.s3.put({"images/0.jpg": b"<html>not a picture"})
    report = submitted.work()
    assert (report.embedded, report.failed, report.exit_code) == (1, 1, 0)
    (failure,) = submitted.failures(0)
    assert failure["image_id"] == "images/0.jpg"
    assert failure.keys() == {"image_id", "stage", "error", "message", "etag"}
    assert submitted.report(0) is not None


def test_too_many_bad_images_are_final_and_reported(submitted: Submitted) -> None:
    submitted.s3.put({"images/4.jpg": b"<html>not a picture"})
    assert submitted.work(2).exit_code == exit_codes.BAD_IMAGES
    found = submitted.report(2)
    assert found is not None
    assert found["exit_code"] == exit_codes.BAD_IMAGES


def test_what_may_pass_leaves_no_report_so_that_another_attempt_works(
    submitted: Submitted, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise TransientError("the store is throttled")

    with monkeypatch.context() as patch:
        patch.setattr("embedder.stores.sqlite.SQLiteStore.write", refuse)
        assert submitted.work().exit_code == exit_codes.TRY_AGAIN
    assert submitted.written() == []
    assert submitted.report(0) is None
    assert (submitted.work().embedded, submitted.written()) == (2, ["failures", "reports"])


def test_a_shard_with_a_report_costs_one_read(submitted: Submitted, encoder: PixelEncoder) -> None:
    first = submitted.work(1)
    again = submitted.work(1)
    assert again == Report.from_json(first.as_json())
    assert submitted.requests == [
        ("GetObject", submitted.location.run_key),
        ("GetObject", submitted.location.report_key(1)),
    ]
    assert encoder.opened == 1


@pytest.mark.usefixtures("encoder")
def test_failures_of_a_finished_shard_are_those_of_the_attempt_that_did_it(bucket: S3, tmp_path: Path) -> None:
    submitted = Submitted(s3=bucket, location=write_run(bucket), store=str(tmp_path / "vectors.db"))
    bucket.put({"images/0.jpg": b"<html>not a picture"})
    files = [tmp_path / "first.jsonl", tmp_path / "again.jsonl"]
    reports = [submitted.work(0, failures=each) for each in files]
    assert reports[1].failed == reports[0].failed == 1
    assert json.loads(files[0].read_text())["image_id"] == "images/0.jpg"
    assert files[1].read_bytes() == files[0].read_bytes()
    for each in files:
        submitted.work(1, failures=each)
        assert each.read_bytes() == b""


def test_failures_of_a_finished_shard_that_find_no_room(submitted: Submitted, small_disk: Path) -> None:
    submitted.s3.put({"images/0.jpg": b"<html>not a picture"})
    submitted.work(0)
    (small_disk / "ballast").write_bytes(bytes(512 << 10))
    with pytest.raises(TransientError, match=r"no space left for --failures .*failures\.jsonl; free some"):
        submitted.work(0, failures=small_disk / "failures.jsonl")
    assert [each.name for each in small_disk.iterdir()] == ["ballast"]


def test_an_attempt_after_one_that_died_skips_what_is_stored(submitted: Submitted) -> None:
    submitted.work(0)
    submitted.s3.client().delete_object(Bucket=submitted.s3.bucket, Key=submitted.location.report_key(0))
    report = submitted.work(0)
    assert (report.embedded, report.skipped, report.failed) == (0, 2, 0)
    found = submitted.report(0)
    assert found is not None
    assert found["skipped"] == 2


@pytest.mark.parametrize("change", [{"store": "other.db"}, {"dtype": "float16"}])
def test_a_report_is_of_one_store_and_one_fingerprint(
    submitted: Submitted, tmp_path: Path, change: dict[str, str]
) -> None:
    submitted.work(0)
    changed: dict[str, Any] = {**change, **({"store": str(tmp_path / change["store"])} if "store" in change else {})}
    report = submitted.work(0, allow_mixed=True, **changed)
    assert report.embedded == 2
    found = submitted.report(0)
    assert found is not None
    assert (found["store"], found["fingerprint"]) == (report.store, report.fingerprint)


def test_recompute_does_a_finished_shard_again(submitted: Submitted) -> None:
    submitted.work(0)
    assert submitted.work(0, recompute=True).embedded == 2


def test_the_runs_options_count_unless_somebody_says_otherwise(submitted: Submitted) -> None:
    write_run(submitted.s3, options={"dtype": "float16", "recompute": True})
    assert submitted.work(0).dtype == "float16"
    assert submitted.work(0).embedded == 2, "recompute is the run's own wish"
    assert submitted.work(1, dtype="float32", recompute=False, allow_mixed=True).dtype == "float32"


def test_an_option_that_this_version_does_not_know_is_refused(submitted: Submitted) -> None:
    write_run(submitted.s3, options={"colour": "blue"})
    with pytest.raises(ConfigurationError, match="no option 'colour'"):
        submitted.work(0)


@pytest.mark.parametrize("option", [{"image_id": "stem"}, {"prune": True}])
def test_what_needs_all_images_is_refused_for_a_part_of_them(submitted: Submitted, option: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=r"is not possible for .*manifests"):
        submitted.work(0, **option)
    submitted.work(0)
    with pytest.raises(ConfigurationError, match=r"is not possible for .*manifests"):
        submitted.work(0, **option)


@pytest.mark.usefixtures("table")
def test_the_runs_table_is_the_store_unless_one_is_named(submitted: Submitted) -> None:
    report = open_session(submitted.location.uri, None, Layer(values={"weights": "random"}), shard=0).run()
    assert report.store == "dynamodb://vectors"
    store = open_store("dynamodb://vectors")
    assert sorted(each for block in store.blocks() for each in block.image_ids) == list(SHARDS[0])
    store.close()


@pytest.mark.parametrize("number", [3, 10_001])
def test_a_shard_that_the_run_does_not_have_is_a_sentence(submitted: Submitted, number: int) -> None:
    with pytest.raises(ConfigurationError, match=f"has 3 shards.* number {number};.*EMBEDDER_SHARD_OFFSET"):
        submitted.work(number)
    assert submitted.written() == []


def test_a_shard_that_is_gone_is_a_sentence(submitted: Submitted) -> None:
    key = submitted.location.shard_key(1)
    submitted.s3.client().delete_object(Bucket=submitted.s3.bucket, Key=key)
    with pytest.raises(ConfigurationError, match="there is no shard"):
        submitted.work(1)


@pytest.mark.parametrize("text", ["{", '{"schema": 99}', "[]"])
def test_a_run_that_cannot_be_read_is_a_sentence(submitted: Submitted, text: str) -> None:
    submitted.s3.put({submitted.location.run_key: text.encode()})
    with pytest.raises(ConfigurationError, match=r"run\.json"):
        submitted.work(0)


@pytest.mark.parametrize("text", ["{", "[]", ""])
def test_a_report_that_cannot_be_read_counts_as_none(submitted: Submitted, text: str) -> None:
    """Nobody but a worker writes there, so what is damaged is written again."""
    submitted.s3.put({submitted.location.report_key(0): text.encode()})
    assert submitted.work(0).embedded == 2
    found = submitted.report(0)
    assert found is not None
    assert found["embedded"] == 2


def test_a_prefix_without_a_run_is_a_prefix(submitted: Submitted) -> None:
    report = embed(submitted.s3.uri("images/"), submitted.store, weights="random")
    assert (report.embedded, report.source) == (5, submitted.s3.uri("images/"))


def test_the_index_and_the_offset_make_the_shard() -> None:
    assert shard_index({}) == 0
    assert shard_index({"AWS_BATCH_JOB_ARRAY_INDEX": "7"}) == 7
    assert shard_index({"AWS_BATCH_JOB_ARRAY_INDEX": "7", "EMBEDDER_SHARD_OFFSET": "20000"}) == 20_007
    assert shard_index({"EMBEDDER_SHARD_OFFSET": "10000"}) == 10_000
    with pytest.raises(ConfigurationError, match="AWS_BATCH_JOB_ARRAY_INDEX: '-1'"):
        shard_index({"AWS_BATCH_JOB_ARRAY_INDEX": "-1"})
