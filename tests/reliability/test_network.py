"""A bad network: outages are outlasted, with nothing lost and nothing done twice; those without end end the run."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cli import ended
from tests.parts import fault_proxy
from tests.parts.dynamodb import DynamoDB
from tests.parts.fault_proxy import BLACK_HOLE, RESET, SLOW_DOWN, THROTTLED, FaultProxy, always
from tests.parts.s3 import S3
from tests.reliability.world import World, balanced, cloud_world, images

COUNT = 120
KINDS = {"reset": RESET, "black hole": BLACK_HOLE, "refused": SLOW_DOWN, "throttled": THROTTLED}


class Network:
    """A world whose S3 and DynamoDB are each behind a proxy."""

    def __init__(self, folder: Path, s3: S3, table: DynamoDB, proxies: dict[str, FaultProxy]) -> None:
        self.proxies = proxies
        endpoints = {name: proxy.endpoint for name, proxy in proxies.items()}
        self.world: World = cloud_world(folder, s3, table, images(COUNT), **endpoints)

    @contextmanager
    def outage(self, of: str, kind: str) -> Iterator[None]:
        """Nothing of a service is reached."""
        self.proxies[of].choose = always(KINDS[kind])
        try:
            yield
        finally:
            self.proxies[of].choose = fault_proxy.well

    def reads(self) -> list[int]:
        """How often each object that was read was read."""
        passed = self.proxies["s3"].passed
        return [count for what, count in passed.items() if re.match(r"GET /[^?]+\.jpg", what)]


@pytest.fixture
def network(tmp_path: Path, s3_moto: S3, dynamodb: DynamoDB) -> Iterator[Network]:
    with fault_proxy.before(s3_moto.endpoint) as s3, fault_proxy.before(dynamodb.endpoint) as table:
        yield Network(tmp_path, s3_moto, dynamodb, {"s3": s3, "dynamodb": table})


SHORT = [("dynamodb", "black hole", 3)]
LONG = [
    *(("s3", "reset", 30), ("s3", "black hole", 30), ("s3", "refused", 30)),
    *(("dynamodb", "reset", 30), ("dynamodb", "black hole", 30), ("dynamodb", "throttled", 30)),
]
OUTAGES = [*SHORT, *(pytest.param(*each, marks=pytest.mark.slow) for each in LONG)]


@pytest.mark.parametrize(("of", "kind", "seconds"), OUTAGES)
def test_an_outage_is_outlasted(network: Network, of: str, kind: str, seconds: int) -> None:
    world = network.world
    process = world.start(env={"WORKER_PACE": "0.02"})
    world.wait_until(lambda: world.encoded() >= 20, process)
    with network.outage(of, kind):
        time.sleep(seconds)
    found = ended(process)
    assert found.returncode == 0, found.stderr
    assert (found.report["images"], found.report["embedded"]) == (COUNT, COUNT)
    assert len(world.vectors()) == COUNT
    assert network.proxies[of].spoilt.total() > 0
    assert world.encoded() == COUNT, "a picture was encoded twice"
    assert network.reads() == [1] * COUNT, "an object was read twice"
    assert network.proxies["s3"].past_boto3 > COUNT // 2


@pytest.mark.parametrize(
    ("of", "kind"),
    [("s3", "reset"), ("dynamodb", "throttled"), pytest.param("s3", "black hole", marks=pytest.mark.slow)],
)
def test_an_outage_without_end_ends_the_run_with_all_that_was_finished(network: Network, of: str, kind: str) -> None:
    world = network.world
    process = world.start(env={"WORKER_PACE": "0.02", "WORKER_PATIENCE": "2"})
    world.wait_until(lambda: world.encoded() >= 20, process)
    began = time.monotonic()
    with network.outage(of, kind):
        found = ended(process)
    print(f"{kind} of {of}: ended after {time.monotonic() - began:.1f} s")
    assert time.monotonic() - began < 2 + 15 + 15, "patience, a timeout, and some time to finish"
    assert found.returncode == 75, found.stderr
    report = found.report
    assert "Traceback" not in found.stderr
    assert balanced(report)
    assert report["stopped"]
    assert len(world.vectors()) == report["embedded"]
    if of == "s3":
        assert world.encoded() == report["embedded"], "what had been read was finished"
    again = world.run()
    assert (again.returncode, again.report["skipped"]) == (0, report["embedded"])
    assert len(world.vectors()) == COUNT


def test_a_source_that_is_gone_leaves_the_store_its_patience(network: Network) -> None:
    """What was read before is stored, although the table answers only when the source has long been given up."""
    world = network.world
    process = world.start(env={"WORKER_PACE": "0.02", "WORKER_SOURCE_PATIENCE": "2"})
    world.wait_until(lambda: world.encoded() >= 20, process)
    with network.outage("s3", "reset"):
        with network.outage("dynamodb", "throttled"):
            time.sleep(5)
            assert process.poll() is None, "it did not wait for the table"
        found = ended(process)
    assert found.returncode == 75, found.stderr
    assert len(world.vectors()) == found.report["embedded"] == world.encoded()
    assert all(cause.startswith("fetch: ") for cause in found.report["failures_by_cause"])


def test_an_outage_while_pruning_still_reports(network: Network) -> None:
    world = network.world
    assert world.run().returncode == 0
    network.proxies["s3"].choose = always(RESET, only="HEAD /.*jpg")
    found = world.run("--prune", env={"WORKER_PATIENCE": "1"})
    assert (found.returncode, found.report["skipped"], found.report["pruned"]) == (75, COUNT, 0)
    assert len(world.vectors()) == COUNT
