"""The golden pictures lose in half precision what photographs lose, and not less."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from embedder.encoders import ENGINES, Arithmetic
from embedder.encoders.golden import golden_pictures
from embedder.encoders.prepared import Prepared
from embedder.encoders.proof import cosines
from embedder.encoders.pytorch import reference_vectors
from embedder.models.catalog import RESNET18
from embedder.models.checkpoint import Checkpoint
from tests.photographs import variation

TORCH = next(each for each in ENGINES if each.trusted)
HALF: Arithmetic = "bfloat16"


def test_they_are_pictures_of_many_contrasts() -> None:
    pictures = golden_pictures(224)
    assert pictures.shape == (16, 224, 224, 3)
    spreads = pictures.reshape(16, -1).std(axis=1)
    assert spreads.min() < 20
    assert spreads.max() > 40
    assert golden_pictures(96).shape == (16, 96, 96, 3)
    assert not np.array_equal(pictures[0], pictures[2])


def test_half_precision_costs_them_as_much_as_photographs(weights: Path) -> None:
    """Sensitive weights miss the bound on photographs, so they have to miss it on the golden pictures as well."""
    network = Checkpoint.find(RESNET18, str(weights))
    photographs = np.stack([np.asarray(variation(seed).resize((224, 224), Image.Resampling.BOX)) for seed in range(12)])
    with Prepared.open(network) as prepared:
        half = TORCH.open(prepared, HALF, None)
        golden, golden_vectors = prepared.golden()
    real = cosines(half.encode(photographs), reference_vectors(network, photographs))
    made = cosines(half.encode(golden), golden_vectors)
    print(f"least and median cosine: photographs {real.min():.6f} {np.median(real):.6f}")
    print(f"golden pictures {made.min():.6f} {np.median(made):.6f}")
    assert made.min() < 0.9999
    assert 1 - np.median(made) > 0.7 * (1 - np.median(real))
