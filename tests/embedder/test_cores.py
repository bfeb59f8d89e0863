"""The cores that a run takes for its own: those it may run on, less what a container's quota takes away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from embedder.cores import cpu_quota, usable_cores

SEEN = len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("text", "quota", "cores"),
    [
        ("max 100000", None, SEEN),
        ("100000 100000", 1.0, 1),
        ("50000 100000", 0.5, 1),
        ("6400000 100000", 64.0, min(SEEN, 64)),
    ],
)
def test_a_container_s_quota(tmp_path: Path, text: str, quota: float | None, cores: int) -> None:
    (tmp_path / "cpu.max").write_text(f"{text}\n")
    assert cpu_quota(tmp_path) == quota
    assert usable_cores(tmp_path) == cores


@pytest.mark.parametrize(("quota", "expected"), [("150000", 1.5), ("-1", None)])
def test_the_older_way_of_saying_it(tmp_path: Path, quota: str, expected: float | None) -> None:
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text(f"{quota}\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert cpu_quota(tmp_path) == expected


def test_no_container_no_quota(tmp_path: Path) -> None:
    assert cpu_quota(tmp_path) is None
    assert usable_cores(tmp_path) == SEEN
