"""SIGKILL at any moment: the next runs finish the work, every vector is right, and little is done twice."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from tests.parts.dynamodb import DynamoDB
from tests.parts.s3 import S3
from tests.reliability.world import BATCH, World, cloud_world, folder_world, images, pause

COUNTS = {2: 96, 60: 2000}
"""Images for so many kills."""
WRITERS = {"vectors.db": 1, "dynamodb://vectors": 8}
KILLS = [pytest.param(2, id="2 times"), pytest.param(60, id="60 times", marks=[pytest.mark.slow])]


@pytest.fixture(params=["folder to SQLite", "S3 to DynamoDB"])
def world(request: pytest.FixtureRequest, tmp_path: Path, kills: int) -> World:
    if request.param == "folder to SQLite":
        return folder_world(tmp_path, COUNTS[kills])
    s3: S3 = request.getfixturevalue("s3_moto")
    table: DynamoDB = request.getfixturevalue("dynamodb")
    found = cloud_world(tmp_path, s3, table, images(COUNTS[kills]))
    table.create_table("undisturbed")
    return found


def kill(process: psutil.Process, *, children_too: bool) -> None:
    """Kill a worker, or all at once as a machine that loses its power; nothing of it may stay behind."""
    children = process.children(recursive=True)
    for each in (process, *(children if children_too else ())):
        each.kill()
    _, alive = psutil.wait_procs(children, timeout=30)
    assert not alive, "decoding processes outlive the run"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kills", KILLS)
def test_killed_again_and_again(world: World, kills: int) -> None:
    chance, count = random.Random(kills), COUNTS[kills]
    undisturbed = "undisturbed.db" if world.table is None else "dynamodb://undisturbed"
    assert world.run(store=undisturbed).returncode == 0
    right = world.vectors(undisturbed)
    assert len(right) == count
    world.log.unlink()

    before = 0
    for number in range(kills):
        # Some die while they start, the others after some more batches.
        target = world.encoded() + chance.randint(0, count // (BATCH * kills)) * BATCH
        process = world.start(env={"WORKER_PACE": "0.01"})
        world.wait_until(_at_least(world, target), process)
        pause(chance, 1.0 if number % 4 == 3 else 0.03)
        assert process.poll() is None, process.communicate()
        kill(psutil.Process(process.pid), children_too=number % 2 == 0)
        _, stderr = process.communicate()
        assert "Traceback" not in stderr
        now = world.vectors()
        assert now.items() <= right.items()
        assert len(now) >= before, "a finished vector has gone"
        before = len(now)

    done = world.run()
    assert done.returncode == 0, done.stderr
    assert (done.report["images"], done.report["skipped"]) == (count, before)
    assert world.vectors() == right
    twice = world.encoded() - count
    at_most_in_flight = kills * BATCH * (2 + 2 * WRITERS[world.store])
    print(f"{kills} kills: {twice} of {count} images encoded twice, at most {at_most_in_flight} allowed")
    assert twice <= at_most_in_flight
    left = {each.name for each in world.folder.iterdir()}
    assert left <= {"images", "vectors.db", "undisturbed.db", "worker.log"}, "files were left behind"


def _at_least(world: World, target: int) -> Callable[[], bool]:
    return lambda: world.encoded() >= target


def test_what_a_killed_run_left_is_folded_back_by_one_that_has_nothing_to_do(tmp_path: Path) -> None:
    world = folder_world(tmp_path, 24)
    wal = tmp_path / "vectors.db-wal"
    process = world.start(env={"WORKER_PACE": "0.2"})
    world.wait_until(lambda: wal.exists() and world.encoded() >= 12, process)
    kill(psutil.Process(process.pid), children_too=True)
    process.communicate()
    stored = world.vectors()
    assert wal.exists()
    assert stored
    for name in images(24).keys() - stored.keys():
        (tmp_path / "images" / name).unlink()
    again = world.run()
    assert (again.returncode, again.report["skipped"], again.report["embedded"]) == (0, len(stored), 0)
    assert {each.name for each in tmp_path.iterdir()} == {"images", "vectors.db", "worker.log"}
    assert world.vectors() == stored
