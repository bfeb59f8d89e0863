"""SIGTERM and Ctrl-C: within ten seconds what is encoded is written, and the report says where the run stopped."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import time
from pathlib import Path

from tests.cli import Result, ended
from tests.parts import fault_proxy
from tests.parts.dynamodb import DynamoDB
from tests.parts.fault_proxy import BLACK_HOLE, THROTTLED, UNPROCESSED, always, sometimes
from tests.parts.s3 import S3
from tests.reliability.world import World, balanced, cloud_world, folder_world, images

WITHIN_SECONDS = 10.0
LISTING = r"list-type=2"
OBJECT = r"GET /[^?]+\.jpg"


def stopped(world: World, process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM) -> Result:
    """Send a signal to a worker; it ends in time, with the right code, and without a traceback."""
    assert process.poll() is None, process.communicate()
    began = time.monotonic()
    process.send_signal(number)
    found = ended(process, timeout=60)
    took = time.monotonic() - began
    print(f"{number.name}: ended after {took:.1f} s")
    assert found.returncode == 128 + number, found.stderr
    assert took < WITHIN_SECONDS
    assert "Traceback" not in found.stderr
    if found.stdout:
        assert found.report["exit_code"] == found.returncode
        assert found.report["stopped"] == f"signal {int(number)}"
        assert balanced(found.report)
        assert len(world.vectors()) >= found.report["embedded"]
    return found


def goes_on(world: World, count: int, *, skipped: int) -> None:
    """The next run does what is left, and only that."""
    again = world.run()
    assert (again.returncode, again.report["skipped"]) == (0, skipped), again.stderr
    assert len(world.vectors()) == count


def test_while_the_model_loads(tmp_path: Path) -> None:
    world = folder_world(tmp_path, 20)
    process = world.start(env={"WORKER_LOAD": "60"})
    world.wait_until(world.log.exists, process)
    found = stopped(world, process, signal.SIGINT)
    assert found.report["embedded"] == 0
    goes_on(world, 20, skipped=0)


def test_while_another_process_holds_the_store(tmp_path: Path) -> None:
    world = folder_world(tmp_path, 40)
    process = world.start(env={"WORKER_PACE": "0.02"})
    world.wait_until(lambda: world.encoded() >= 12, process)
    other = sqlite3.connect(tmp_path / "vectors.db", isolation_level=None, timeout=30)
    other.execute("BEGIN IMMEDIATE")
    try:
        time.sleep(0.3)
        found = stopped(world, process)
    finally:
        other.execute("ROLLBACK")
        other.close()
    goes_on(world, 40, skipped=found.report["embedded"])


def test_what_is_encoded_is_written_to_a_throttled_table(tmp_path: Path, s3_moto: S3, dynamodb: DynamoDB) -> None:
    with fault_proxy.before(dynamodb.endpoint) as proxy:
        world = cloud_world(tmp_path, s3_moto, dynamodb, images(80), dynamodb=proxy.endpoint)
        process = world.start(env={"WORKER_PACE": "0.02"})
        world.wait_until(lambda: world.encoded() >= 24, process)
        proxy.choose = sometimes(1, {THROTTLED: 0.3, UNPROCESSED: 0.3}, only="BatchWriteItem")
        found = stopped(world, process)
        assert found.report["embedded"] == world.encoded() == len(world.vectors()) < 80
        assert found.report["failed"] == 0
        proxy.choose = fault_proxy.well
        goes_on(world, 80, skipped=found.report["embedded"])


def test_while_s3_hangs(tmp_path: Path, s3_moto: S3, dynamodb: DynamoDB) -> None:
    with fault_proxy.before(s3_moto.endpoint) as proxy:
        world = cloud_world(tmp_path, s3_moto, dynamodb, images(60), s3=proxy.endpoint)

        proxy.choose = always(BLACK_HOLE, only=LISTING)
        process = world.start()
        world.wait_until(lambda: proxy.spoilt.total() > 0, process)
        found = stopped(world, process)
        assert found.report["images"] == 0

        proxy.choose = fault_proxy.well
        process = world.start(env={"WORKER_PACE": "0.05"})
        world.wait_until(lambda: world.encoded() >= 4 and proxy.past_boto3 > 0, process)
        proxy.choose = always(BLACK_HOLE, only=OBJECT)
        found = stopped(world, process)
        assert found.report["embedded"] == world.encoded() == len(world.vectors())
        proxy.choose = fault_proxy.well
        goes_on(world, 60, skipped=found.report["embedded"])


def test_before_anything_has_answered(tmp_path: Path, s3_moto: S3, dynamodb: DynamoDB) -> None:
    with fault_proxy.before(s3_moto.endpoint) as proxy:
        world = cloud_world(tmp_path, s3_moto, dynamodb, images(1), s3=proxy.endpoint)
        proxy.choose = always(BLACK_HOLE)
        process = world.start()
        world.wait_until(lambda: proxy.spoilt.total() > 0, process)
        found = stopped(world, process)
    assert not found.stdout
    assert "stopped before the first image" in found.stderr


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    world = folder_world(tmp_path, 20)
    process = world.start(env={"WORKER_LOAD": "60"})
    world.wait_until(world.log.exists, process)
    process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    began = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert ended(process).returncode == 143
    assert time.monotonic() - began < 3
