"""However many keys there are, memory stays what it was."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

LAMBDA_MEGABYTES = 256
ROOT = Path(__file__).parents[2]


def submit_many(count: int) -> Any:
    command = [sys.executable, "-m", "tests.submitter.million", str(count)]
    return json.loads(subprocess.check_output(command, text=True, cwd=ROOT).splitlines()[-1])


def check(measured: Any, count: int) -> None:
    print(measured)
    assert measured["images"] == count
    assert measured["shards"] == count // 1000
    assert measured["peak_megabytes"] < LAMBDA_MEGABYTES
    assert count // 1000 <= measured["calls"]["ListObjectsV2"] < 1.4 * count // 1000
    assert measured["calls"]["PutObject"] < count // 1000 + 10


def test_fifty_thousand_keys() -> None:
    few, many = submit_many(5_000), submit_many(50_000)
    check(many, 50_000)
    assert many["peak_megabytes"] - few["peak_megabytes"] < 45, "the pages of the listing, and no more"


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_million_keys() -> None:
    check(submit_many(1_000_000), 1_000_000)
