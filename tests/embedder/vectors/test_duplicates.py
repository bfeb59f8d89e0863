"""Groups of near-duplicates: those that comparing every pair gives, each around the image that is worth keeping."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from embedder.vectors import duplicates
from tests.embedder.commands import command
from tests.embedder.stored import fill, opened, stored


def cosines(rows: np.ndarray) -> np.ndarray:
    """The cosine of every pair, compared one by one in float64; that of a vector of zeros is 0."""
    exact = rows.astype(np.float64)
    lengths = np.linalg.norm(exact, axis=1)
    lengths[lengths == 0] = np.inf
    compared: np.ndarray = (exact @ exact.T) / lengths[:, None] / lengths
    return compared


def brute_force(rows: np.ndarray, threshold: float) -> list[list[int]]:
    """The groups, each with the kept image first, by what the documentation says and nothing cleverer."""
    compared = cosines(rows)
    kept: list[int] = []
    for each in np.flatnonzero(np.abs(rows).sum(axis=1)).tolist():
        if not any(compared[each, first] >= threshold - 1e-12 for first in kept):
            kept.append(each)
    groups: dict[int, list[int]] = {first: [] for first in kept}
    for each in np.flatnonzero(np.abs(rows).sum(axis=1)).tolist():
        if each not in groups:
            groups[max(kept, key=lambda first: (compared[each, first], -first))].append(each)
    return sorted([first, *sorted(others)] for first, others in groups.items() if others)


def found(rows: np.ndarray, threshold: float, leaf: int = 1024, checked: int = 2048) -> list[list[int]]:
    names = [f"{number:05d}" for number in range(len(rows))]
    groups = duplicates.group(names, rows, threshold, leaf=leaf, checked=checked)
    numbers = [[int(each.image_id) for each in one.members] for one in groups]
    return sorted([first, *sorted(others)] for first, *others in numbers)


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
    groups = found(rows, threshold, leaf, checked=64)
    if noise and dimension > 2:  # elsewhere an image may be exactly as near to two that are kept
        assert groups == brute_force(rows, threshold)
    compared = cosines(rows)
    for first, *others in groups:
        assert (compared[first, others] >= threshold - 1e-9).all()
    members = [each for one in groups for each in one]
    assert len(members) == len(set(members))
    gone = {each for _, *others in groups for each in others}
    left = [each for each in range(count) if each not in gone]
    assert (np.triu(compared[np.ix_(left, left)], 1) < threshold + 1e-9).all(), "what is left has no near-duplicates"


def test_a_thousand_copies_are_one_group() -> None:
    rows = np.repeat(np.random.default_rng(0).normal(size=(2, 512)).astype(np.float32), 1500, axis=0)
    assert found(rows, 1.0) == [list(range(1500)), list(range(1500, 3000))]


def on_a_circle(*degrees: float) -> np.ndarray:
    angles = np.radians(degrees)
    return np.column_stack([np.cos(angles), np.sin(angles)]).astype(np.float32)


def test_a_chain_is_not_a_group() -> None:
    """Single linkage makes one group of these twenty, whose ends have a cosine of 0.17."""
    rows = on_a_circle(*(4.2 * number for number in range(20)))
    groups = found(rows, 0.99)
    compared = cosines(rows)
    assert len(groups) >= 6
    assert all(compared[first, others].min() >= 0.99 for first, *others in groups)


def test_the_image_worth_most_is_kept_and_the_others_follow_by_their_cosine() -> None:
    rows = on_a_circle(0, 7, 3, 90)
    asked: list[list[str]] = []

    def worth(ids: Sequence[str]) -> dict[str, tuple[int, ...]]:
        asked.append(sorted(ids))
        return {"right": (40, 1), "middle": (40, 2), "left": (30, 9)}

    (only,) = duplicates.group(["left", "right", "middle", "far"], rows, 0.99, worth)
    assert asked == [["left", "middle", "right"]]
    assert [each.image_id for each in only.members] == ["middle", "left", "right"]
    assert [each.score for each in only.members] == pytest.approx([1, *np.cos(np.radians([3, 4]))], abs=1e-6)


def test_of_a_store_the_largest_file_is_kept(store_name: str) -> None:
    fill(store_name, [stored("a", 1, modified="10-5"), stored("b", 1, modified="200-3"), stored("c", 1, modified=None)])
    with opened(store_name) as store:
        _, groups = duplicates.find_duplicates(store, 0.98)
    assert [[each.image_id for each in one.members] for one in groups] == [["b", "a", "c"]]


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
    assert table.stdout.splitlines()[:2] == ["1\ta\t1.000000\tyes", "1\t'b\\n,'\t1.000000\tno"]
    assert len(table.stdout.splitlines()) == 5
    assert "2 groups of 5 images among 6, at a cosine of 0.98 or more" in table.stderr
    answer = command("duplicates", name, "--json", "--csv", path).report
    assert [[each["image_id"] for each in one] for one in answer["groups"]] == [["a", "b\n,", "c"], ["d", "e"]]
    assert (answer["vectors"], answer["threshold"]) == (6, 0.98)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["group", "image_id", "score", "keep"],
        ["1", "a", "1.000000", "yes"],
        ["1", "b\n,", "1.000000", "no"],
        ["1", "c", "1.000000", "no"],
        ["2", "d", "1.000000", "yes"],
        ["2", "e", "1.000000", "no"],
    ]
    assert command("duplicates", name, "--prefix", "f", "--json").report["groups"] == []


@pytest.mark.parametrize(
    ("fingerprint", "said"), [("resnet18/random/pre1/float32", True), ("resnet18/f37072fd/pre1/float32", False)]
)
def test_random_weights_are_named_on_stderr(tmp_path: Path, fingerprint: str, *, said: bool) -> None:
    name = str(tmp_path / "vectors.db")
    fill(name, [stored("a", 1, fingerprint=fingerprint), stored("b", 1, fingerprint=fingerprint)])
    for done in (command("duplicates", name, "--json"), command("similar", name, "a", "--json")):
        assert done.returncode == 0
        assert ("random weights" in done.stderr) == said


@pytest.mark.parametrize("option", ["--threshold=0", "--threshold=1.5", "--threshold=nan", "--csv=nowhere/a.csv"])
def test_what_cannot_be_done_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.chdir(tmp_path)
    fill("vectors.db", [stored("a")])
    done = command("duplicates", "vectors.db", option)
    assert done.returncode == 2
    assert option.split("=")[0] in done.stderr
