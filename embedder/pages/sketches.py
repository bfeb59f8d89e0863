"""Vectors shortened for a page, so that a browser can sort a whole collection by likeness to any image."""

from __future__ import annotations

import base64
from dataclasses import dataclass

import numpy as np

from embedder.records import Vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketches:
    """For each image, its leading coordinates in one byte each, and the squared length of the rest of its vector.

    The cosine of two images is about 1 - (d² + r + s) / 2, where d is the distance of their coordinates, and r and s
    are the squared lengths of their rests: the rests of two images are nearly orthogonal.
    """

    coordinates: str
    """Signed bytes, row by row, in base64."""
    step: float
    """A coordinate is its byte × this."""
    rests: str
    """Little-endian 16-bit numbers, in base64. A rest is its number × `rest_step`."""
    rest_step: float


def sketch(units: Vectors, points: Vectors) -> Sketches:
    """Shorten n unit vectors, (n, dimension), with their coordinates as `layout.leading` gives them, (n, d)."""
    moved = units - units.mean(axis=0)
    rests = np.maximum(0, np.einsum("ij,ij->i", moved, moved) - np.einsum("ij,ij->i", points, points))
    step = float(np.abs(points).max(initial=0)) / 127 or 1.0
    rest_step = float(rests.max(initial=0)) / 65535 or 1.0
    return Sketches(
        coordinates=base64.b64encode(np.round(points / step).astype(np.int8).tobytes()).decode(),
        step=step,
        rests=base64.b64encode(np.round(rests / rest_step).astype("<u2").tobytes()).decode(),
        rest_step=rest_step,
    )
