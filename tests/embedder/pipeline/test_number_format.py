"""Vectors as they are stored: one byte a number and a scale, or floats."""

from __future__ import annotations

import numpy as np
import pytest

from embedder.encoders.proof import cosines
from embedder.pipeline.number_format import NumberFormat


def vectors(count: int = 50) -> np.ndarray:
    """Like a ResNet's: not negative, many near zero."""
    return np.abs(np.random.default_rng(3).normal(size=(count, 512))).astype(np.float32) ** 2


@pytest.mark.parametrize(("data_type", "largest"), [("uint8", 255), ("int8", 127)])
def test_one_byte_keeps_the_direction(data_type: str, largest: int) -> None:
    given = vectors() if data_type == "uint8" else vectors() - 1
    made = NumberFormat(data_type, normalize=False).format(given)
    assert (str(made.numbers.dtype), made.data_type) == (data_type, data_type)
    assert np.abs(made.numbers.astype(int)).max(axis=1).tolist() == [largest] * 50
    restored = made.numbers.astype(np.float32) * np.asarray(made.scales, np.float32)[:, None]
    assert cosines(restored, given).min() > 0.9997
    assert set(made.problems) == {None}


def test_vectors_with_negative_numbers_take_int8() -> None:
    numbers = NumberFormat("uint8", normalize=False)
    assert numbers.format(vectors() - 1).data_type == "int8"
    assert numbers.format(vectors()).data_type == "int8", "a run has one dtype"


def test_a_negative_number_after_the_first_batch_is_a_failure() -> None:
    numbers = NumberFormat("uint8", normalize=False)
    numbers.format(vectors(2))
    later = vectors(2)
    later[1, 7] = -1
    first, second = numbers.format(later).problems
    assert first is None
    assert second is not None
    assert "--dtype int8" in second


@pytest.mark.parametrize("data_type", ["float32", "float16", "uint8", "int8"])
def test_zeros_stay_zeros_and_what_is_no_number_is_a_failure(data_type: str) -> None:
    given = vectors(3)
    given[0] = 0
    given[1, 0] = np.nan
    made = NumberFormat(data_type, normalize=False).format(given)
    assert not made.numbers[0].any()
    assert [problem is None for problem in made.problems] == [True, False, True]


def test_float16_refuses_what_it_cannot_hold_unless_it_is_normalised() -> None:
    given = vectors(1) * 1e6
    assert NumberFormat("float16", normalize=False).format(given).problems != [None]
    made = NumberFormat("float16", normalize=True).format(given)
    assert made.problems == [None]
    assert np.linalg.norm(made.numbers[0].astype(float)) == pytest.approx(1, abs=1e-3)
