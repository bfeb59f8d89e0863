"""Proving that an engine's vectors are the reference's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from embedder.encoders import Encoder
from embedder.encoders.prepared import Prepared
from embedder.errors import ConfigurationError
from embedder.records import Vectors

LEAST_COSINE = 0.9999
"""What every golden picture's vector keeps to the reference, eager float32 torch."""

LEAST_COSINE_ON_GPU = 0.999
"""The same on a GPU."""

LARGEST_ERROR = 1e-3
"""With `--precision full`: the largest distance to the reference's vector, as a part of its length."""


class UnusableError(ConfigurationError):
    """An engine cannot run this model on this machine, or its vectors are not the reference's."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near an engine's vectors of the golden pictures are to the reference's: the worst picture's figures."""

    cosine: float
    error: float
    """The distance, as a part of the vector's length."""


def agreement(encoder: Encoder, prepared: Prepared) -> Agreement:
    """Let an encoder encode the golden pictures, and compare."""
    pixels, expected = prepared.golden()
    # In batches as a run hands them over: large pictures at once may take more memory than there is.
    parts = np.split(pixels, range(encoder.batch_size, len(pixels), encoder.batch_size))
    found = np.concatenate([encoder.encode(part) for part in parts]).astype(np.float64)
    expected = expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        errors = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    return Agreement(float(cosines(found, expected).min()), float(errors.max()))


def least_cosine(device: str) -> float:
    """Return the cosine that vectors have to keep on a device."""
    return LEAST_COSINE if device == "cpu" else LEAST_COSINE_ON_GPU


def prove(encoder: Encoder, prepared: Prepared, *, full: bool) -> None:
    """Compare an encoder with the reference.

    Args:
        full: whether the relative error is limited as well.

    Raises:
        UnusableError: the vectors are too far from the reference's.
    """
    found, least = agreement(encoder, prepared), least_cosine(encoder.device)
    how = f"the engine {encoder.engine} in {encoder.arithmetic}"
    if not found.cosine >= least:  # also refuses a cosine that is not a number
        raise UnusableError(
            f"{how} does not agree with torch on this machine (cosine {found.cosine:.5f}, needed {least}); use "
            "--engine torch --device cpu --precision full"
        )
    if full and not found.error <= LARGEST_ERROR:
        raise UnusableError(
            f"{how} has a relative error of {found.error:.1e} for {prepared.network.name}, allowed is "
            f"{LARGEST_ERROR:g}; use --precision auto or --engine torch"
        )


def cosines(vectors: Vectors, others: Vectors) -> Vectors:
    """Compute the cosine of each row with the same row of another (n, D) array: (n,) float64."""
    a, b = vectors.astype(np.float64), others.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore"):
        cosine: Vectors = (a * b).sum(axis=1) / lengths
    return cosine
