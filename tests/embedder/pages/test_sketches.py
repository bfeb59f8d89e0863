"""Shortened vectors: a page orders images by them nearly as the vectors do."""

from __future__ import annotations

import base64

import numpy as np

from embedder.pages.layout import leading
from embedder.pages.sketches import Sketches, sketch
from embedder.vectors.search import unit


def likeness(made: Sketches, image: int) -> np.ndarray:
    """What a page makes of the sketches."""
    rests = np.frombuffer(base64.b64decode(made.rests), "<u2") * made.rest_step
    points = np.frombuffer(base64.b64decode(made.coordinates), np.int8).reshape(len(rests), -1) * made.step
    apart = ((points - points[image]) ** 2).sum(axis=1) + rests + rests[image]
    found: np.ndarray = 1 - apart / 2
    return found


def test_cosines_are_nearly_those_of_the_vectors() -> None:
    chance = np.random.default_rng(0)
    centres = chance.normal(size=(20, 200))
    units = unit(centres[chance.integers(0, 20, 400)] + 0.5 * chance.normal(size=(400, 200)) + 1)
    made = sketch(units, leading(units))
    for image in range(0, 400, 40):
        exact, rough = units @ units[image], likeness(made, image)
        others = np.arange(400) != image
        assert np.abs(exact - rough)[others].max() < 0.05
        assert np.corrcoef(exact[others], rough[others])[0, 1] > 0.995


def test_equal_vectors_have_a_cosine_of_one() -> None:
    units = unit(np.ones((3, 8)))
    assert np.allclose(likeness(sketch(units, leading(units)), 0), 1, atol=1e-6)
