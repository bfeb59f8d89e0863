"""The cores that a run takes for its own: those it may run on, less what a container's quota takes away."""

from __future__ import annotations

import os
import platform
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from embedder.system.cores import cpu_quota, processor, sharing, usable_cores

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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "processor\t: 0\nmodel name\t: Some CPU @ 2.5 GHz\nflags\t\t: fpu avx2 avx512f amx_tile\n",
            "Some CPU @ 2.5 GHz, amx_tile",
        ),
        ("model name\t: A\nflags\t\t: fpu avx2\n\nmodel name\t: A\nflags\t\t: fpu avx2\n", "A, avx2"),
        ("model name\t: B\nflags\t\t: fpu sse2\n", "B"),
        ("processor\t: 0\nFeatures\t: fp asimd sve\n", f"{platform.machine()}, sve"),
        ("", platform.machine()),
    ],
)
def test_which_processor(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "cpuinfo").write_text(text)
    assert processor(tmp_path / "cpuinfo") == expected
    assert processor(tmp_path / "none") == platform.machine()


def test_a_share_of_a_machine(tmp_path: Path) -> None:
    with sharing(1):
        assert usable_cores(tmp_path) == 1
        with sharing(None):
            assert usable_cores(tmp_path) == 1
        with sharing(1000):
            assert usable_cores(tmp_path) == SEEN, "no more than there are"
    assert usable_cores(tmp_path) == SEEN


def test_a_share_is_one_run_s_and_not_its_neighbour_s(tmp_path: Path) -> None:
    """Two runs in two threads, of which the first to begin is the first to end."""
    both_in, first_out = threading.Barrier(2), threading.Event()

    def first() -> int:
        with sharing(1):
            both_in.wait(10)
            found = usable_cores(tmp_path)
        first_out.set()
        return found

    def second() -> tuple[int, int]:
        with sharing(None):
            both_in.wait(10)
            found = usable_cores(tmp_path)
            first_out.wait(10)
        return found, usable_cores(tmp_path)

    with ThreadPoolExecutor(2) as executor:
        one, other = executor.submit(first), executor.submit(second)
        assert (one.result(), other.result()) == (1, (SEEN, SEEN))
