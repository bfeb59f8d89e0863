"""Vectors back: in the order asked for or sorted, however many, from either store."""

from __future__ import annotations

import random

import numpy as np
import pytest

import embedder
from embedder.errors import ConfigurationError
from embedder.vectors.reader import read_batches
from tests.embedder.stored import fill, many, stored


def values(seed: int) -> np.ndarray:
    return np.frombuffer(stored("x", seed).vector, "<f4")


def test_all_come_sorted(store_name: str) -> None:
    vectors = many(230)
    random.Random(1).shuffle(vectors)
    fill(store_name, vectors)
    ids, found = embedder.read(store_name)
    assert ids == [f"image-{number:05d}" for number in range(230)]
    assert found.shape == (230, 512)
    assert found.dtype == np.float32
    for number in range(230):
        assert np.array_equal(found[number], values(number))


def test_those_asked_for_come_in_that_order(store_name: str) -> None:
    fill(store_name, many(330))
    asked = [f"image-{number:05d}" for number in range(330)]
    random.Random(2).shuffle(asked)
    ids, found = embedder.read(store_name, [*asked[:150], "nowhere", *asked[150:]])
    assert ids == asked
    for image_id, vector in zip(ids, found, strict=True):
        assert np.array_equal(vector, values(int(image_id[-5:])))


def test_an_id_asked_for_twice_comes_twice(store_name: str) -> None:
    fill(store_name, many(3))
    ids, found = embedder.read(store_name, ["image-00002", "image-00000", "image-00002"])
    assert ids == ["image-00002", "image-00000", "image-00002"]
    assert np.array_equal(found[0], found[2])


def test_by_prefix(store_name: str) -> None:
    fill(store_name, [*many(3, "cats/"), *many(2, "dogs/")])
    assert embedder.read(store_name, prefix="cats/")[0] == ["cats/00000", "cats/00001", "cats/00002"]
    assert embedder.read(store_name, ["dogs/00001", "cats/00002"], prefix="dogs/")[0] == ["dogs/00001"]
    assert embedder.read(store_name, prefix="birds/")[0] == []


def test_nothing_found_is_an_empty_array(store_name: str) -> None:
    fill(store_name, many(1))
    ids, found = embedder.read(store_name, ["nowhere"])
    assert ids == []
    assert found.shape == (0, 0)
    assert found.dtype == np.float32
    assert embedder.read(store_name, [])[0] == []


def test_half_precision_stays_what_it_is(store_name: str) -> None:
    half = np.arange(512).astype("<f2")
    fill(store_name, [stored("a", vector=half.tobytes(), data_type="float16")])
    found = embedder.read(store_name)[1]
    assert found.shape == (1, 512)
    assert found.dtype == np.float16
    assert np.array_equal(found[0], half)


def test_vectors_of_two_models_are_never_mixed_unseen(store_name: str) -> None:
    fill(store_name, [stored("a", 1), stored("b", 2, fingerprint="another/model"), stored("c", 3)])
    with pytest.raises(ConfigurationError, match=r"resnet18/random/pre1/float32 \(2\), another/model \(1\)"):
        embedder.read(store_name)
    assert embedder.read(store_name, fingerprint="another/model")[0] == ["b"]
    assert embedder.read(store_name, ["c", "a"])[0] == ["c", "a"]


def test_bytes_that_are_no_vector_are_an_error(store_name: str) -> None:
    fill(store_name, [stored("a", 1), stored("b", 2, vector=b"short")])
    with pytest.raises(ConfigurationError, match="something else has written to it"):
        embedder.read(store_name)


def test_a_generator_of_ids_will_do(store_name: str) -> None:
    fill(store_name, many(5))
    assert len(embedder.read(store_name, (f"image-{number:05d}" for number in range(4)))[0]) == 4


def test_a_store_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"there is no store at nowhere\.db"):
        embedder.read("nowhere.db")


def test_batches_hold_everything_once(store_name: str) -> None:
    fill(store_name, many(1030))
    found = list(read_batches(store_name, size=100))
    assert [len(ids) for ids, _ in found] == [100] * 10 + [30]
    assert all(vectors.shape == (len(ids), 512) for ids, vectors in found)
    ids, vectors = embedder.read(store_name)
    by_id = {image_id: row for part, rows in found for image_id, row in zip(part, rows, strict=True)}
    assert sorted(by_id) == ids
    assert all(np.array_equal(by_id[image_id], row) for image_id, row in zip(ids, vectors, strict=True))
    assert [part for part, _ in read_batches(store_name, size=100)] == [part for part, _ in found]


def test_batches_of_a_prefix_and_of_a_model(store_name: str) -> None:
    fill(store_name, [*many(3, "cats/"), *many(2, "dogs/"), stored("cats/other", fingerprint="another/model")])
    wanted = read_batches(store_name, prefix="cats/", fingerprint="resnet18/random/pre1/float32")
    assert sorted(each for ids, _ in wanted for each in ids) == ["cats/00000", "cats/00001", "cats/00002"]
    assert list(read_batches(store_name, prefix="birds/")) == []


def test_batches_never_mix_models(store_name: str) -> None:
    fill(store_name, [*many(20), stored("z", 2, fingerprint="another/model")])
    with pytest.raises(ConfigurationError, match=r"resnet18/random/pre1/float32 \(20\), another/model \(1\); choose"):
        for _ids, _vectors in read_batches(store_name, size=5):
            pass


def test_one_model_with_two_shapes_is_an_error(store_name: str) -> None:
    fill(store_name, [stored("a", 1), stored("b", 2, data_type="float16", dimension=1024)])
    with pytest.raises(ConfigurationError, match="something else has written to it"):
        embedder.read(store_name)
