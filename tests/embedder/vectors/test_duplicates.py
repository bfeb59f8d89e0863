"""Groups of near-duplicates: exactly those of comparing every pair, in whatever order and size of leaf."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from embedder.vectors import duplicates
from tests.embedder.commands import command
from tests.embedder.stored import fill, opened, stored


def brute_force(rows: np.ndarray, threshold: float) -> list[list[int]]:
    """Connected components of all pairs, compared one by one in float64."""
    exact = rows.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1)
    lengths[lengths == 0] = np.inf
    linked = (exact @ exact.T) / lengths[:, None] / lengths >= threshold - 1e-12
    groups, seen = [], set()
    for start in range(len(rows)):
        found, waiting = set(), [start]
        while waiting:
            each = waiting.pop()
            if each not in found:
                found.add(each)
                waiting += np.flatnonzero(linked[each]).tolist()
        if len(found) > 1 and start not in seen:
            groups.append(sorted(found))
        seen |= found
    return sorted(groups)


def found(rows: np.ndarray, threshold: float) -> list[list[int]]:
    groups = duplicates.group([str(number) for number in range(len(rows))], rows, threshold)
    return sorted(sorted(int(each.image_id) for each in one.members) for one in groups)


@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(2, 300),
    dimension=st.integers(1, 70),
    noise=st.sampled_from([0.0, 0.01, 0.05, 0.3]),
    threshold=st.floats(0.5, 1.0),
    leaf=st.sampled_from([2, 16, 1024]),
    offset=st.sampled_from([0.0, 2.0, 50.0]),
)
@example(seed=0, count=300, dimension=60, noise=0.05, threshold=0.99, leaf=16, offset=2.0)
@example(seed=1, count=200, dimension=64, noise=0.0, threshold=1.0, leaf=2, offset=0.0)
def test_the_groups_are_those_of_every_pair(
    seed: int, count: int, dimension: int, noise: float, threshold: float, leaf: int, offset: float
) -> None:
    chance = np.random.default_rng(seed)
    seeds = chance.normal(size=(max(1, count // 3), dimension)) + offset
    rows = seeds[chance.integers(0, len(seeds), count)]
    rows = (rows + noise * chance.normal(size=rows.shape)).astype(np.float32)
    rows *= chance.uniform(0.5, 2, size=(count, 1)).astype(np.float32) if noise else 1
    rows[:: max(2, count // 3)] = 0 if seed % 2 else rows[:: max(2, count // 3)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "LEAF", leaf)
        patch.setattr(duplicates, "CHECKED", 64)
        assert found(rows, threshold) == brute_force(rows, threshold)


def test_a_thousand_copies_are_one_group() -> None:
    rows = np.repeat(np.random.default_rng(0).normal(size=(2, 512)).astype(np.float32), 1500, axis=0)
    assert found(rows, 1.0) == [list(range(1500)), list(range(1500, 3000))]


def test_a_chain_is_one_group_and_begins_with_its_middle() -> None:
    angles = np.radians([0, 8, 15.9, 90])
    rows = np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)
    (chain,) = duplicates.group(["left", "middle", "right", "far"], rows, 0.99)
    assert [each.image_id for each in chain.members] == ["middle", "right", "left"]
    assert [each.score for each in chain.members] == pytest.approx(
        [1, np.cos(angles[2] - angles[1]), np.cos(angles[1])], abs=1e-6
    )


def test_of_a_store(store_name: str) -> None:
    vectors = [stored(f"image-{number:05d}", number % 120) for number in range(230)]
    fill(store_name, vectors)
    with opened(store_name) as store:
        count, groups = duplicates.find_duplicates(store, 0.98)
    assert count == 230
    pairs = sorted(tuple(sorted(each.image_id for each in one.members)) for one in groups)
    assert pairs == [(f"image-{number:05d}", f"image-{number + 120:05d}") for number in range(110)]


def test_the_command_prints_writes_and_counts(tmp_path: Path) -> None:
    name, path = str(tmp_path / "vectors.db"), tmp_path / "found.csv"
    fill(name, [stored(each, seed) for each, seed in (("a", 1), ("b\n,", 1), ("c", 1), ("d", 2), ("e", 2), ("f", 3))])
    table = command("duplicates", name)
    assert table.stdout.splitlines() == ["      3  a", " 1.0000  'b\\n,'", " 1.0000  c", "      2  d", " 1.0000  e"]
    assert "2 groups of 5 images among 6, at 0.98 or more" in table.stderr
    answer = command("duplicates", name, "--json", "--csv", path).report
    assert [[each["image_id"] for each in one] for one in answer["groups"]] == [["a", "b\n,", "c"], ["d", "e"]]
    assert (answer["vectors"], answer["threshold"]) == (6, 0.98)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["group", "image_id", "score"]
    assert [row[:2] for row in rows[1:]] == [["1", "a"], ["1", "b\n,"], ["1", "c"], ["2", "d"], ["2", "e"]]
    assert command("duplicates", name, "--prefix", "f", "--json").report["groups"] == []


@pytest.mark.parametrize("option", ["--threshold=0", "--threshold=1.5", "--threshold=nan", "--csv=nowhere/a.csv"])
def test_what_cannot_be_done_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.chdir(tmp_path)
    fill("vectors.db", [stored("a")])
    done = command("duplicates", "vectors.db", option)
    assert done.returncode == 2
    assert option.split("=")[0] in done.stderr
