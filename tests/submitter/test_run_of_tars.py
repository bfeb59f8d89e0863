"""A run of tar files from its submission to its last retry, with a real worker whose model is a stand-in."""

from __future__ import annotations

import gzip
import hashlib
import json

import pytest

from submitter.manifest import RunLocation
from tests.embedder.pictures import jpeg
from tests.embedder.stand_in import PixelEncoder, only_engine
from tests.embedder.stored import contents
from tests.embedder.tars import tar_bytes
from tests.submitter.cloud import Cloud
from tests.submitter.terminal import Terminal

ODD = "new\nline/ü 🐈.JPG"


@pytest.fixture
def terminal(submitter_cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(cloud=submitter_cloud, capsys=capsys)


TARS = {
    "shards/000.tar": tar_bytes([("0.jpg", jpeg(0)), ("0.json", b"{}"), (ODD, jpeg(1)), ("0.jpg", jpeg(2))]),
    "shards/001.tar": tar_bytes({"0.jpg": jpeg(10), "1.jpg": jpeg(11)[:300], "2.jpg": jpeg(12)}),
    "shards/002.tar": tar_bytes({"0.jpg": jpeg(20), "1.jpg": jpeg(21)}).rstrip(b"\0"),
    "shards/003.tar": tar_bytes({"notes.txt": b"no image"}),
}
"""Two images of one name; one that is spoiled; a file that is cut; one without images."""

MENDED = {
    "shards/001.tar": tar_bytes({"0.jpg": jpeg(10), "1.jpg": jpeg(11), "2.jpg": jpeg(12)}),
    "shards/002.tar": tar_bytes({"new.txt": b"moves what follows", "0.jpg": jpeg(20), "1.jpg": jpeg(22)}),
    "shards/004.tar": tar_bytes({"0.jpg": jpeg(40)}),
}


def members(cloud: Cloud, run: str, shard: int) -> list[dict[str, str]]:
    """What a worker says it found in its tar files."""
    packed = cloud.get(RunLocation.parse(run).members_key(shard))
    return [json.loads(line) for line in gzip.decompress(packed).splitlines()]


def test_a_run_of_tar_files(terminal: Terminal) -> None:
    cloud = terminal.cloud
    for key, body in TARS.items():
        cloud.put(key, body=body)
    cloud.put("shards/000.json")
    submit = ("submit", "shards/{000..004}.tar", "--shard-size", "2")
    planned = terminal(*submit, "--dry-run")
    assert (planned["tars"], planned["images"], planned["shards"]) == (5, None, 3)
    assert planned["bytes"] == sum(map(len, TARS.values()))
    assert planned["estimated"]["images"] == pytest.approx(8, abs=4), "one of the four files is not looked into"
    assert planned["cost_usd"]["total"] > 0
    answer = terminal(*submit, "--run-id", "first")
    assert (answer["tars"], answer["images"], answer["empty_paths"]) == (5, None, ["shards/004.tar"])
    assert terminal(*submit, "--run-id", "first") == answer, "as when the request is delivered twice"
    assert len(cloud.jobs()) == 1
    run = answer["run_uri"]
    assert [len(shard) for shard in cloud.entries(run)] == [2, 2, 1]
    begun = terminal("status", run)
    assert (begun["tars"], begun["images"], begun["missing"], begun["exit_code"]) == (5, 0, None, 1)

    with only_engine(PixelEncoder().open):
        reports = [terminal.work(run, number) for number in range(2)]
        assert [(each.embedded, each.skipped, each.failed, each.exit_code) for each in reports] == [
            (4, 0, 2, 0),
            (2, 0, 1, 0),
        ]
        assert [len(members(cloud, run, number)) for number in range(2)] == [6, 3]
        halfway = terminal("verify", run)
        assert (halfway["images"], halfway["counts"]) == (9, {"failed": 3, "unread": 1})
        cloud.services.s3.delete_object(Bucket=cloud.targets.bucket, Key=RunLocation.parse(run).report_key(0))
        again = terminal.work(run, 0)
        assert (again.embedded, again.skipped, again.failed) == (0, 4, 2), "it goes on by member"
        assert terminal.work(run, 2).exit_code == 65, "there is no such file"

        status = terminal("status", run)
        counts = {name: status[name] for name in ("images", "embedded", "skipped", "failed", "missing")}
        assert counts == {"images": 10, "embedded": 2, "skipped": 4, "failed": 4, "missing": 0}
        assert status["failures"] == {
            "list: Collision": 1,
            "decode: Corrupt": 1,
            "list: DamagedTar": 1,
            "list: NotFound": 1,
        }
        verdict = terminal("verify", run)
        assert {each["image_id"]: each["detail"] for each in verdict["differences"]} == {
            "shards/000.tar/0.jpg": "list: Collision",
            "shards/001.tar/1.jpg": "decode: Corrupt",
            "shards/002.tar": "list: DamagedTar",
            "shards/004.tar": "list: NotFound",
        }
        assert verdict["images"] == status["images"]

        for key, body in MENDED.items():
            cloud.put(key, body=body)
        retried = terminal("retry", run, "--now", "--run-id", "second")
        ((first, second),) = [cloud.entries(retried["run_uri"])[0]]
        assert first.only == ("shards/000.tar/0.jpg",)
        assert second.only == ("shards/001.tar/1.jpg",)
        assert [each.only for shard in cloud.entries(retried["run_uri"])[1:] for each in shard] == [None, None]
        reports = [terminal.work(retried["run_uri"], number) for number in range(2)]
        assert [(each.embedded, each.skipped, each.failed) for each in reports] == [(1, 1, 1), (2, 1, 0)]
    final = terminal("status", retried["run_uri"])
    assert (final["images"], final["failures"], final["finished"]) == (6, {"list: Collision": 1}, True)
    stored = contents(f"dynamodb://{cloud.targets.table}")
    assert set(stored) == {
        *("shards/000.tar/0.jpg", f"shards/000.tar/{ODD}", "shards/004.tar/0.jpg"),
        *(f"shards/001.tar/{number}.jpg" for number in range(3)),
        *(f"shards/002.tar/{number}.jpg" for number in range(2)),
    }
    outdated = terminal("verify", run)
    assert outdated["counts"] == {"failed": 3, "changed": 2}
    changed = {each["image_id"]: each["detail"] for each in outdated["differences"] if each["kind"] == "changed"}
    assert set(changed) == {"shards/001.tar/1.jpg", "shards/002.tar/1.jpg"}, "and not what was only packed again"
    old, new = (hashlib.md5(jpeg(number)).hexdigest() for number in (21, 22))
    assert changed["shards/002.tar/1.jpg"] == f"the manifest has ETag {old}, the table {new}"
