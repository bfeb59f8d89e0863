"""The index beside a SQLite file: what it finds, how it keeps up with the store, and when it is not used."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedder.errors import ConfigurationError
from embedder.indexes import kind_for
from embedder.indexes.search import Found, search
from embedder.records import StoredVector
from embedder.results.duplicates import duplicates
from embedder.results.similar import similar
from embedder.vectors.search import nearest
from tests.cli import ROOT
from tests.embedder.stored import FINGERPRINT, fill, opened, stored

COUNT = 1200
DIMENSION = 16


def clustered(count: int = COUNT, start: int = 0, **changes: Any) -> list[StoredVector]:
    """Vectors in thirty clusters, each fourth a near-duplicate of the one before."""
    chance = np.random.default_rng(3)
    rows = chance.normal(size=(30, DIMENSION))[np.arange(count) % 30] + chance.normal(size=(count, DIMENSION)) * 0.3
    rows[3::4] = rows[2::4] + chance.normal(size=rows[3::4].shape) * 0.01
    fields: dict[str, Any] = {"dimension": DIMENSION, **changes}
    return [
        stored(f"{number % 2}/{number:05d}", vector=row.astype("<f4").tobytes(), **fields)
        for number, row in enumerate(rows, start)
    ]


def row(vector: StoredVector) -> np.ndarray:
    return np.frombuffer(vector.vector, "<f4")


def make(name: str, fingerprint: str | None = None) -> int:
    with opened(name) as store:
        kind = kind_for(store)
        assert kind is not None
        assert kind.price(fingerprint) is None
        return kind.make(fingerprint).vectors


def found(name: str, vector: StoredVector, k: int = 10, **options: str) -> tuple[Found, bool]:
    """What a search finds, and whether it is what reading everything finds."""
    with opened(name) as store:
        way = search(store, row(vector), k, **options)
        exact = nearest(store, row(vector), k, **options)
    same = [each.image_id for each in way.matches] == [each.image_id for each in exact]
    return way, same


@pytest.fixture
def name(tmp_path: Path) -> str:
    made = str(tmp_path / "vectors.db")
    fill(made, clustered())
    assert make(made) == COUNT
    return made


def shares(ways: Iterable[tuple[Found, bool]]) -> float:
    return float(np.mean([same for way, same in ways if way.index]))


def test_finds_what_reading_everything_finds(name: str) -> None:
    vectors = clustered()
    ways = [found(name, each) for each in vectors[::40]]
    assert all(way.index and not way.remark for way, _ in ways)
    assert shares(ways) >= 0.9
    way, same = found(name, vectors[5], prefix="1/")
    assert way.index
    assert same
    for k in (COUNT, 5000):  # more than an index is asked for: everything is read
        way, same = found(name, vectors[0], k)
        assert way.index is None
        assert len(way.matches) == COUNT
        assert same
    way, same = found(name, vectors[0], prefix="none")
    assert not way.matches
    answer = similar(name, "0/00000", 3)
    assert answer.as_json()["index"] == f"the index {name}.index"
    assert answer[0].image_id == "0/00000"


def test_every_change_is_found_whoever_made_it(name: str) -> None:
    vectors = clustered()
    target = vectors[0]
    new = stored("new", vector=target.vector, dimension=DIMENSION)
    moved = stored(vectors[7].image_id, vector=target.vector, dimension=DIMENSION)
    fill(name, [new, moved])  # one added, one replaced
    with opened(name) as store:
        store.delete([target.image_id])
    with sqlite3.connect(name) as other:  # neither embedder nor its version matters
        other.execute("UPDATE vectors SET Vector = ? WHERE ImageId = ?", (target.vector, vectors[10].image_id))
    way, same = found(name, target, 3)
    assert way.index
    assert same
    assert {each.image_id for each in way.matches} == {"new", vectors[7].image_id, vectors[10].image_id}
    grouped = {each.image_id for group in duplicates(name) for each in group.members}
    assert {"new", vectors[7].image_id, vectors[10].image_id} <= grouped
    assert make(name) == COUNT
    with opened(name) as store:
        assert not kind_for(store).open(None).changed  # type: ignore[union-attr]


def test_an_index_of_another_state_is_not_used(name: str, tmp_path: Path) -> None:
    index = Path(f"{name}.index")
    old = index.read_bytes()
    make(name)
    index.write_bytes(old)  # of the store before: a backup of one of the two was put back
    way, same = found(name, clustered()[3])
    assert way.index is None
    assert same
    assert f"embedder index {name}" in way.remark
    assert f"embedder index {name}" in duplicates(name).way()
    moved = tmp_path / "other.db"
    fill(str(moved), clustered(50))
    index.rename(f"{moved}.index")
    assert "another state" in found(str(moved), clustered()[3])[0].remark


@pytest.mark.parametrize("damage", ["short", "empty", "end", "beginning"])
def test_a_damaged_index_is_named_and_not_used(name: str, damage: str) -> None:
    index = Path(f"{name}.index")
    content = bytearray(index.read_bytes())
    content[{"end": -60, "beginning": 100}.get(damage, 0)] ^= 255
    kept = {"short": len(content) // 2, "empty": 0}.get(damage, len(content))
    index.write_bytes(content[:kept])
    way, same = found(name, clustered()[3])
    assert way.index is None
    assert same
    assert "damaged" in way.remark
    assert make(name) == COUNT
    assert found(name, clustered()[3])[0].index


WITHOUT = """
import sys
sys.modules["faiss"] = None
from embedder.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_without_the_library_everything_is_read_and_its_name_is_said(name: str) -> None:
    arguments = (("similar", name, "0/00000", "-k", "3"), ("duplicates", name, "--json"), ("index", name))
    commands = [[sys.executable, "-c", WITHOUT, *each] for each in arguments]
    search, groups, made = (subprocess.run(each, cwd=ROOT, capture_output=True, text=True) for each in commands)
    assert search.returncode == 0
    assert len(search.stdout.splitlines()) == 3
    assert "every vector is read" in search.stderr
    assert json.loads(groups.stdout.splitlines()[-1])["index"] is None
    assert made.returncode == 2
    for each in (search, groups, made):
        assert "pip install 'embedder[index]'" in each.stderr
        assert "Traceback" not in each.stderr


def test_a_small_store_gets_its_index_without_a_warning_of_the_library(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    few = str(tmp_path / "few.db")
    fill(few, clustered(24))
    assert make(few) == 24
    assert capfd.readouterr() == ("", "")


def test_two_kinds_of_vectors(tmp_path: Path) -> None:
    name = str(tmp_path / "vectors.db")
    other = "resnet50/random/pre1/float32"
    fill(name, [*clustered(400), *clustered(60, 1000, fingerprint=other)])
    with pytest.raises(ConfigurationError, match="--fingerprint"):
        make(name)
    assert not Path(f"{name}.index").exists()
    assert make(name, FINGERPRINT) == 400
    assert found(name, clustered()[3], fingerprint=FINGERPRINT)[0].index
    assert "alone" in found(name, clustered()[3], fingerprint=other)[0].remark
    with pytest.raises(ConfigurationError), opened(name) as store:
        search(store, row(clustered()[3]), 3)


def test_bytes_with_a_scale_zeros_and_few_vectors(tmp_path: Path) -> None:
    name = str(tmp_path / "vectors.db")
    chance = np.random.default_rng(1)
    rows = chance.integers(0, 256, (60, DIMENSION), np.uint8)
    rows[0] = 0
    fields: dict[str, Any] = {"dimension": DIMENSION, "data_type": "uint8", "scale": 0.01}
    fill(name, [stored(f"{number:02}", vector=each.tobytes(), **fields) for number, each in enumerate(rows)])
    assert make(name) == 60
    with opened(name) as store:
        way = search(store, rows[7].astype(np.float32), 3)
        assert way.index
        assert way.matches == nearest(store, rows[7].astype(np.float32), 3)


def test_an_empty_store_and_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    name = str(tmp_path / "vectors.db")
    fill(name, [stored("a")])
    with opened(name) as store:
        store.delete(["a"])
    with pytest.raises(ConfigurationError, match="no vector"):
        make(name)
    fill(name, [stored("a")])
    if os.geteuid():
        tmp_path.chmod(0o500)
        with pytest.raises(ConfigurationError, match="written"):
            make(name)
        tmp_path.chmod(0o700)
    assert [each.name for each in tmp_path.iterdir()] == ["vectors.db"]


@pytest.mark.parametrize("threshold", [0.9, 0.98])
def test_duplicates_are_those_of_every_pair(name: str, threshold: float) -> None:
    quick, exact = duplicates(name, threshold), duplicates(name, threshold, exact=True)
    assert quick.as_json()["approximate"]
    assert not exact.as_json()["approximate"]
    assert "--exact" in quick.way()
    members = [{each.image_id for group in one for each in group.members} for one in (quick, exact)]
    assert len(members[1]) > COUNT // 3
    assert len(members[0] & members[1]) >= 0.98 * len(members[1])
