"""Many images, some of them bad, over a network that fails all the time: the books balance and nothing grows."""

from __future__ import annotations

import re
import subprocess
import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.cli import ended
from tests.embedder.pictures import jpeg
from tests.parts import fault_proxy
from tests.parts.dynamodb import DynamoDB
from tests.parts.fault_proxy import BLACK_HOLE, RESET, SLOW_DOWN, THROTTLED, UNPROCESSED, Fault, sometimes
from tests.parts.s3 import S3
from tests.reliability.world import balanced, cloud_world, name

S3_FAULTS = {RESET: 0.03, SLOW_DOWN: 0.03, Fault(cut=300): 0.015, Fault(cut=900): 0.015, Fault(delay=0.3): 0.0095}
S3_FAULTS |= {BLACK_HOLE: 0.0005}
DYNAMODB_FAULTS = {THROTTLED: 0.03, UNPROCESSED: 0.03, RESET: 0.02, Fault(cut=100): 0.01, Fault(delay=0.3): 0.01}
MEGABYTES_APART = 60
BAD_EVERY = 50


@dataclass(slots=True)
class Usage:
    """What a process and its children use, looked at every second."""

    process: subprocess.Popen[str]
    samples: list[tuple[float, int, int]] = field(default_factory=list)
    """Megabytes of all, and the run's own descriptors and threads."""

    def watch(self) -> threading.Thread:
        thread = threading.Thread(target=self._watch, daemon=True)
        thread.start()
        return thread

    def _watch(self) -> None:
        try:
            run = psutil.Process(self.process.pid)
            while self.process.poll() is None:
                memory = sum(each.memory_info().rss for each in (run, *run.children(recursive=True)))
                self.samples.append((memory / 1e6, run.num_fds(), run.num_threads()))
                threading.Event().wait(1)
        except psutil.NoSuchProcess:
            return  # it has ended


@pytest.mark.timeout(3000)
@pytest.mark.parametrize(
    "count", [pytest.param(300, id="300"), pytest.param(20_000, id="20,000", marks=pytest.mark.slow)]
)
def test_soak(tmp_path: Path, s3_moto: S3, dynamodb: DynamoDB, count: int) -> None:
    good = [jpeg(number, (64, 48)) for number in range(100)]
    bad = [good[0][:200], b"", b"<html>not found</html>"]
    pictures = {
        name(number): bad[number % 3] if number % BAD_EVERY == 0 else good[number % 100] for number in range(count)
    }
    with fault_proxy.before(s3_moto.endpoint) as s3, fault_proxy.before(dynamodb.endpoint) as table:
        world = cloud_world(tmp_path, s3_moto, dynamodb, pictures, s3=s3.endpoint, dynamodb=table.endpoint)
        s3.choose = sometimes(1, S3_FAULTS, only=r"GET /[^?]+\.jpg|list-type")
        table.choose = sometimes(2, DYNAMODB_FAULTS, only="^Batch")
        process = world.start()
        usage = Usage(process)
        watching = usage.watch()
        found = ended(process, timeout=2800)
        watching.join()
    report = found.report
    spoilt = {"S3": s3.spoilt.total(), "DynamoDB": table.spoilt.total()}
    faults = f"{spoilt['S3']} of {spoilt['S3'] + s3.passed.total()} requests to S3 spoilt"
    faults += f", {spoilt['DynamoDB']} of {spoilt['DynamoDB'] + table.passed.total()} to DynamoDB"
    print(f"{count} images in {report['seconds']} s; {faults}")
    assert found.returncode == 0, found.stderr
    assert s3.past_boto3 > 0.7 * count
    assert balanced(report)
    assert (report["images"], report["failed"]) == (count, -(-count // BAD_EVERY))
    assert all(cause.startswith("decode: ") for cause in report["failures_by_cause"])
    right = {f"i/{each}" for number, each in enumerate(pictures) if number % BAD_EVERY}
    assert world.vectors().keys() == right
    assert all(spoilt.values())
    read = {what: times for what, times in s3.passed.items() if re.match(r"GET /[^?]+\.jpg", what)}
    assert max(read.values()) <= 2, "only a bad image is read twice"

    steady = usage.samples[len(usage.samples) // 4 :]
    first, last = steady[0], steady[-2:][0]
    for what, begin, end in zip(("MB", "descriptors", "threads"), first, last, strict=True):
        print(f"{what}: {begin:.0f} after a quarter, {end:.0f} at the end")
    if count > 10_000:
        assert last[0] - first[0] < MEGABYTES_APART
        assert last[1] <= first[1] + 16
        assert last[2] <= first[2] + 4
