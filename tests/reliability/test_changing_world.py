"""A world that changes while a run goes on: objects, permissions, tables and disks, and other runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from embedder.errors import TransientError
from embedder.sources import Selection
from embedder.sources.folder import FolderSource, file_uri
from tests.cli import ended
from tests.embedder.pictures import jpeg
from tests.parts import fault_proxy
from tests.parts.dynamodb import DynamoDB
from tests.parts.fault_proxy import DENIED, Fault, FaultProxy, Request, always
from tests.parts.s3 import S3
from tests.reliability.world import World, balanced, cloud_world, folder_world, images

LATE = {"WORKER_PACE": "0.02"}


@dataclass(slots=True)
class Once:
    """Does something when the first request of a kind comes, which waits for it."""

    action: Callable[[], object]
    only: str
    done: bool = False

    def __call__(self, request: Request) -> Fault | None:
        if not self.done and self.only in request.what:
            self.done = True
            self.action()
        return None


@pytest.fixture
def proxy(s3_moto: S3) -> Iterator[FaultProxy]:
    with fault_proxy.before(s3_moto.endpoint) as found:
        yield found


def test_objects_that_go_or_change_between_listing_and_reading(
    tmp_path: Path, s3_moto: S3, dynamodb: DynamoDB, proxy: FaultProxy
) -> None:
    world = cloud_world(tmp_path, s3_moto, dynamodb, images(40), s3=proxy.endpoint)
    client = s3_moto.client()

    def change() -> None:
        client.delete_object(Bucket=s3_moto.bucket, Key="i/000/00039.jpg")
        s3_moto.put({"i/000/00038.jpg": jpeg(999)})

    proxy.choose = Once(change, only=".jpg")
    found = world.run()
    assert (found.returncode, found.report["embedded"], found.report["failed"]) == (0, 39, 1)
    assert found.report["failures_by_cause"] == {"fetch: NotFound": 1}
    items = dynamodb.items()
    head = client.head_object(Bucket=s3_moto.bucket, Key="i/000/00038.jpg")
    assert items["i/000/00038.jpg"]["ETag"]["S"] == head["ETag"].strip('"')
    assert items["i/000/00038.jpg"]["Vector"] != items["i/000/00037.jpg"]["Vector"]
    assert "i/000/00039.jpg" not in items
    assert world.run().report["skipped"] == 39


def test_what_may_not_be_read(tmp_path: Path, s3_moto: S3, dynamodb: DynamoDB, proxy: FaultProxy) -> None:
    world = cloud_world(tmp_path, s3_moto, dynamodb, images(80), s3=proxy.endpoint)
    proxy.choose = always(DENIED, only=r"GET /[^?]+\.jpg")
    found = world.run()
    assert (found.returncode, found.stdout) == (2, "")
    assert "access denied to the first 20 images" in found.stderr
    assert found.stderr.count("\n") == 1
    assert proxy.spoilt.total() < 60, "it ends early"
    proxy.choose = always(DENIED, only=r"GET /[^?]+/00007\.jpg")
    found = world.run()
    assert (found.returncode, found.report["embedded"]) == (0, 79)
    assert found.report["failures_by_cause"] == {"fetch: AccessDenied": 1}


def test_a_table_that_is_deleted_in_the_middle(tmp_path: Path, s3_moto: S3, dynamodb: DynamoDB) -> None:
    with fault_proxy.before(dynamodb.endpoint) as table:
        world = cloud_world(tmp_path, s3_moto, dynamodb, images(60), dynamodb=table.endpoint)
        process = world.start(env=LATE)
        world.wait_until(lambda: world.encoded() >= 12, process)
        table.choose = Once(lambda: dynamodb.client().delete_table(TableName="vectors"), only="BatchWriteItem")
        found = ended(process)
    assert (found.returncode, found.stdout) == (2, ""), found.stderr
    assert "the table vectors" in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr


def test_a_full_disk(tmp_path: Path, small_disk: Path) -> None:
    world = folder_world(tmp_path, 400)
    world.store = "disk/vectors.db"
    found = world.run()
    assert found.returncode == 75, found.stderr
    assert balanced(found.report)
    assert "no space left for the store disk/vectors.db" in found.report["stopped"]
    assert 0 < len(world.vectors()) == found.report["embedded"] < 400
    subprocess.run(["mount", "-o", "remount,size=16m", str(small_disk)], check=True)
    again = world.run()
    assert (again.returncode, again.report["skipped"]) == (0, found.report["embedded"])
    assert len(world.vectors()) == 400
    assert [each.name for each in small_disk.iterdir()] == ["vectors.db"]


def test_failures_that_find_no_room(tmp_path: Path, small_disk: Path) -> None:
    world = folder_world(tmp_path, 8)
    (tmp_path / "images" / "bad.jpg").write_bytes(b"x")
    (small_disk / "ballast").write_bytes(bytes(1 << 20)[: 512 << 10])
    found = world.run("--failures", "disk/failures.jsonl")
    assert found.returncode == 75, found.stderr
    assert "no space left for --failures disk/failures.jsonl" in found.stderr.splitlines()[-1]
    assert "Traceback" not in found.stderr
    assert [each.name for each in small_disk.iterdir()] == ["ballast"]


def test_a_read_only_disk(tmp_path: Path, small_disk: Path) -> None:
    world = folder_world(tmp_path, 4)
    world.store = "disk/vectors.db"
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    found = world.run()
    assert (found.returncode, found.stdout) == (2, "")
    assert "the store disk/vectors.db cannot be written: Read-only file system" in found.stderr
    assert world.encoded() == 0


def test_a_full_quota(tmp_path: Path) -> None:
    """The same without a mount: a limit on the size of files."""
    world = folder_world(tmp_path, 400)
    shell = 'trap "" XFSZ; ulimit -f 400; exec "$@"'
    worker = [sys.executable, "-m", "tests.reliability.worker"]
    limited = subprocess.run(
        ["bash", "-c", shell, "bash", *worker, "run", "images", "--weights", "random"],
        cwd=tmp_path,
        env=world.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.returncode == 75, limited.stderr
    assert "Traceback" not in limited.stderr
    stored = len(world.vectors())
    assert 0 < stored < 400
    again = world.run()
    assert (again.returncode, again.report["skipped"], len(world.vectors())) == (0, stored, 400)


@pytest.mark.parametrize("rounds", [1, pytest.param(15, marks=pytest.mark.slow)])
def test_three_runs_make_the_same_file_at_once(tmp_path: Path, rounds: int) -> None:
    world = folder_world(tmp_path, 60)
    for _ in range(rounds):
        found = [ended(process) for process in [world.start() for _ in range(3)]]
        assert [each.returncode for each in found] == [0, 0, 0], [each.stderr for each in found]
        assert len(world.vectors()) == 60
        assert all(each.report["embedded"] + each.report["skipped"] == 60 for each in found)
        assert {each.name for each in tmp_path.iterdir()} == {"images", "vectors.db", "worker.log"}
        (tmp_path / "vectors.db").unlink()


def test_two_workers_on_the_same_shard(tmp_path: Path, s3_moto: S3, dynamodb: DynamoDB) -> None:
    world: World = cloud_world(tmp_path, s3_moto, dynamodb, images(60))
    shard = "".join(f"i/{name}\n" for name in images(60))
    s3_moto.put({"shards/00000.txt": shard.encode()})
    world.source = s3_moto.uri("shards/00000.txt")
    found = [ended(process) for process in [world.start(env=LATE) for _ in range(2)]]
    assert [each.returncode for each in found] == [0, 0]
    assert all(balanced(each.report) and each.report["failed"] == 0 for each in found)
    dynamodb.create_table("alone")
    assert world.run(store="dynamodb://alone").returncode == 0
    assert world.vectors() == world.vectors("dynamodb://alone")


def test_a_place_that_is_gone_is_not_a_place_whose_images_are(tmp_path: Path) -> None:
    folder = tmp_path / "disk" / "images"
    folder.mkdir(parents=True)
    (folder / "1.jpg").write_bytes(jpeg())
    (folder / "loop").symlink_to("loop")
    source = FolderSource(folder, Selection())
    assert source.exists(file_uri(folder / "1.jpg"))
    assert not source.exists(file_uri(folder / "2.jpg"))
    assert source.exists(file_uri(folder / "loop" / "3.jpg")), "cannot be looked at, which is not gone"
    shutil.rmtree(folder)
    with pytest.raises(TransientError, match="is gone"):
        source.exists(file_uri(folder / "1.jpg"))
