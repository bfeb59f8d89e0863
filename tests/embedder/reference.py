"""What a vector should be, computed without anything of ours: torchvision's preset and its eager model."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torchvision.models import ResNet18_Weights, resnet18

from tests.embedder.corpus import HIGH, LOW

Vector = npt.NDArray[np.float32]
PRESET = ResNet18_Weights.DEFAULT.transforms()
LONGEST = 40
"""Past this many times its short side an image is cut down before the preset sees it: see `middle`."""


def upright(path: Path) -> Image.Image:
    """The picture as a person sees it: turned as its EXIF says, opaque, 8-bit RGB."""
    with Image.open(path) as opened:
        tags = getattr(opened, "tag_v2", {})
        image = ImageOps.exif_transpose(opened)
    if image.mode.startswith("I;16"):
        return _eight_bits(image)
    if image.mode in ("I", "F"):
        share = (np.asarray(image).astype(np.float64) - tags[LOW][0]) / (tags[HIGH][0] - tags[LOW][0])
        return Image.fromarray(np.rint(np.clip(share, 0, 1) * 255).astype(np.uint8)).convert("RGB")
    if image.mode in ("PA", "LA", "RGBA") or "transparency" in image.info:
        return _on_white(image)
    return image.convert("RGB")


def vector(image: Image.Image, weights: Path) -> Vector:
    """The model's vector of an upright RGB picture, one picture at a time."""
    return model_vector(PRESET(middle(image)), weights)


def model_vector(image: torch.Tensor, weights: Path) -> Vector:
    """The eager model's vector of a normalised picture, (3, 224, 224)."""
    with torch.inference_mode():
        found: Vector = _model(weights)(image.unsqueeze(0))[0].numpy()
        return found


def pixels(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The preset's picture before it is normalised, (224, 224, 3)."""
    values = PRESET(middle(image)).permute(1, 2, 0) * torch.tensor(PRESET.std) + torch.tensor(PRESET.mean)
    return (values * 255).round().byte().numpy()


def middle(image: Image.Image) -> Image.Image:
    """The part of a very long picture that the centre crop shows.

    The preset would make gigabytes of a 1 × 20,000 one. As much is cut off at both ends, so the middle stays.
    """
    width, height = image.size
    long, short = max(width, height), min(width, height)
    if long <= LONGEST * short:
        return image
    cut = (long - LONGEST * short) // 2
    assert long - 2 * cut == LONGEST * short, "both ends have to lose the same"
    return image.crop((cut, 0, width - cut, height) if width == long else (0, cut, width, height - cut))


def cosine(one: Vector, other: Vector) -> float:
    first, second = one.astype(np.float64), other.astype(np.float64)
    return float(first @ second / (np.linalg.norm(first) * np.linalg.norm(second)))


def relative_error(found: Vector, expected: Vector) -> float:
    difference = found.astype(np.float64) - expected.astype(np.float64)
    return float(np.linalg.norm(difference) / np.linalg.norm(expected.astype(np.float64)))


def _eight_bits(image: Image.Image) -> Image.Image:
    values = np.asarray(image).astype(np.float64)
    grey = np.rint(values / 257).astype(np.uint8)
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 255
    return Image.fromarray(grey).convert("RGB")


def _on_white(image: Image.Image) -> Image.Image:
    rgba = np.asarray(image.convert("RGBA")).astype(np.float64)
    alpha = rgba[..., 3:] / 255
    return Image.fromarray(np.rint(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8))


@cache
def _model(weights: Path) -> torch.nn.Module:
    state = torch.load(weights, weights_only=True)
    # A fine-tuned network has another number of classes.
    model = resnet18(weights=None, num_classes=len(state["fc.bias"]) if "fc.bias" in state else 1000)
    model.load_state_dict(state)
    model.fc = torch.nn.Identity()
    return model.eval()
