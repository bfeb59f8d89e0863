"""The nearest vectors: those that brute force finds, in whatever store, however large the batches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from embedder.errors import ConfigurationError
from embedder.indexes.search import search_stored
from embedder.vectors import search
from tests.embedder.commands import command, imported
from tests.embedder.stored import fill, many, opened, stored


def values(seed: int) -> np.ndarray:
    return np.frombuffer(stored("x", seed).vector, "<f4")


def cosine(one: np.ndarray, other: np.ndarray) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def test_the_nearest_are_those_of_brute_force(store_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "BATCH", 50)
    fill(store_name, many(230))
    expected = sorted(((cosine(values(7), values(number)), number) for number in range(230)), reverse=True)[:20]
    with opened(store_name) as store:
        found = search.nearest(store, values(7), 20)
        own = search_stored(store, "image-00007", 20)
    assert [each.image_id for each in found] == [f"image-{number:05d}" for _, number in expected]
    assert [each.score for each in found] == pytest.approx([score for score, _ in expected], abs=1e-6)
    assert own is not None
    assert own.matches == [search.Match("image-00007", 1.0), *found[1:]]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(1, 60),
    k=st.integers(1, 70),
    batch=st.integers(1, 20),
    data_type=st.sampled_from(["float32", "float16"]),
)
def test_whatever_the_sizes(tmp_path: Path, seed: int, count: int, k: int, batch: int, data_type: str) -> None:
    chance = np.random.default_rng(seed)
    rows = chance.normal(size=(count, 6)).astype(data_type)
    query = chance.normal(size=6).astype(np.float32)
    name = str(tmp_path / f"{seed}-{count}-{k}-{batch}-{data_type}.db")
    fill(
        name,
        [
            stored(f"{number:03d}", vector=row.tobytes(), dimension=6, data_type=data_type)
            for number, row in enumerate(rows)
        ],
    )
    with pytest.MonkeyPatch.context() as patch, opened(name) as store:
        patch.setattr(search, "BATCH", batch)
        found = search.nearest(store, query, k)
    scores = [cosine(query, row) for row in rows]
    assert len(found) == min(k, count)
    assert [each.score for each in found] == pytest.approx(sorted(scores, reverse=True)[:k], abs=1e-5)
    assert all(scores[int(each.image_id)] == pytest.approx(each.score, abs=1e-5) for each in found)


def test_equals_come_by_id_and_zeros_are_like_nothing(tmp_path: Path) -> None:
    name = str(tmp_path / "vectors.db")
    same = values(1).tobytes()
    fill(name, [stored("zero", vector=bytes(2048)), *(stored(each, vector=same) for each in "cab")])
    with opened(name) as store:
        found = search.nearest(store, values(1), 4)
        assert [each.image_id for each in found] == ["a", "b", "c", "zero"]
        assert found[-1].score == 0
        own = search_stored(store, "b", 2)
        assert own is not None
        assert own.matches == [search.Match("b", 1.0), found[0]]


def test_another_dimension_is_a_sentence(tmp_path: Path) -> None:
    name = str(tmp_path / "vectors.db")
    fill(name, many(2))
    with opened(name) as store, pytest.raises(ConfigurationError, match="512 numbers and the query has 100"):
        search.nearest(store, np.ones(100, np.float32), 2)


def test_neighbours_are_those_of_brute_force() -> None:
    units = search.unit(np.random.default_rng(3).normal(size=(600, 20)))
    places, scores = search.neighbours(units, 5)
    products = units.astype(np.float64) @ units.T
    np.fill_diagonal(products, -2)
    assert np.array_equal(places, np.argsort(-products, axis=1)[:, :5])
    assert scores == pytest.approx(np.take_along_axis(products, places, 1), abs=1e-6)
    assert search.neighbours(units[:1], 5)[0].shape == (1, 0)


def test_the_command_prints_a_table_or_json_and_loads_no_model(tmp_path: Path) -> None:
    name = str(tmp_path / "vectors.db")
    fill(name, [*many(30), stored("two\nlines", 3)])
    done, heavy = imported("similar", name, "image-00003", "-k", "2", folder=tmp_path)
    assert done.stdout == "1.0000\timage-00003\n1.0000\t'two\\nlines'\n"
    assert heavy == {"numpy"}
    answer = command("similar", name, "image-00003", "-k", "3", "--json").report
    assert [each["image_id"] for each in answer["matches"]][:2] == ["image-00003", "two\nlines"]
    assert answer["matches"][0]["score"] == 1
    assert len(answer["matches"]) == 3
    assert json.loads(json.dumps(answer)) == answer


def test_a_store_of_two_models_asks_which(tmp_path: Path) -> None:
    name = str(tmp_path / "vectors.db")
    fill(name, [*many(3), stored("other", 9, fingerprint="another/model")])
    done = command("similar", name, "image-00001")
    assert done.returncode == 2
    assert "choose with --fingerprint" in done.stderr
    chosen = command("similar", name, "image-00001", "--fingerprint", "resnet18/random/pre1/float32", "--json")
    assert chosen.report["matches"][0]["image_id"] == "image-00001"
    assert len(chosen.report["matches"]) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere.jpg",), "neither an id in"),
        (("image-00001", "-k", "0"), "expected 1 or more"),
        (("image-00001", "--html", "nowhere/page.html"), "there is no folder nowhere"),
        (("image-00001", "--html", "page.html", "--images", "nowhere"), "there is no such folder"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    fill("vectors.db", many(3))
    done = command("similar", "vectors.db", *words)
    assert done.returncode == 2
    assert said in done.stderr
    assert not Path("page.html").exists()
