"""Models of timm: the pipeline's vectors are what timm's own model makes of what timm's own transform makes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from timm.data import create_transform, resolve_data_config

from embedder import embed, read
from tests.embedder import reference
from tests.seeded_backbones import lively

TINY = {
    "test_resnet.r160_in1k": 96,
    "test_vit3.r160_in1k": 96,
    "test_convnext.r160_in1k": 64,
}
DOZEN = {
    "resnet50.a1_in1k": 2048,
    "vit_small_patch14_dinov2.lvd142m": 384,
    "vit_small_patch16_dinov3.lvd1689m": 384,
    "vit_base_patch16_siglip_224.webli": 768,
    "vit_base_patch32_clip_224.laion2b": 768,
    "convnext_tiny.fb_in22k": 768,
    "efficientnet_b0.ra_in1k": 1280,
    "swin_tiny_patch4_window7_224.ms_in1k": 768,
    "eva02_tiny_patch14_224.mim_in22k": 192,
    "mobilenetv4_conv_small.e2400_r224_in1k": 1280,
    "regnety_008.pycls_in1k": 768,
    "beit_base_patch16_224.in22k_ft_in22k_in1k": 768,
    "naflexvit_base_patch16_gap.e300_s576_in1k": 768,
}
"""Model → the length of its vectors, from timm's source."""


def original(name: str) -> Any:
    """timm's whole model, with the classifier of its published weights."""
    side = timm.get_pretrained_cfg(name).input_size[1]
    return lively(lambda: timm.create_model(name, pretrained=False), side)


def check(name: str, dimension: int, images: Path, work: Path, *, precision: str = "full") -> None:
    model = original(name)
    save_file(model.state_dict(), work / "w.safetensors")
    report = embed(
        images,
        work / "v.db",
        model=f"timm/{name}",
        weights=work / "w.safetensors",
        device="cpu",
        engine="torch",
        precision=precision,  # type: ignore[arg-type]
    )
    assert (report.embedded, report.fingerprint.rsplit("/", 3)[0], report.dimension) == (3, f"timm/{name}", dimension)
    transform = create_transform(**resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict()))
    ids, vectors = read(work / "v.db")
    pictures = torch.stack([transform(reference.upright(images / image_id)) for image_id in ids])
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(pictures), pre_logits=True).numpy()
    assert vectors.shape == expected.shape
    cosines = [reference.cosine(ours, theirs) for ours, theirs in zip(vectors, expected, strict=True)]
    print(f"{name}: least cosine {min(cosines):.7f}, between two pictures {reference.cosine(*expected[:2]):.4f}")
    assert min(cosines) >= 0.9999


@pytest.mark.parametrize(("name", "dimension"), TINY.items())
def test_vectors_are_those_of_timm(name: str, dimension: int, images: Path, tmp_path: Path) -> None:
    check(name, dimension, images, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dimension"), DOZEN.items())
def test_vectors_are_those_of_timm_for_a_dozen(name: str, dimension: int, images: Path, tmp_path: Path) -> None:
    check(name, dimension, images, tmp_path)
