"""Real photographs for the tests and for `scripts/run`: those in scikit-image's wheel, and parts of them.

Run as a program it prints the folder they are in. It imports no image library before it needs one.
"""

from __future__ import annotations

import random
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

UNREADABLE = {"multipage_rgb.tif"}  # stored plane by plane, which Pillow does not read
SUFFIXES = {".png", ".jpg", ".tif", ".gif"}
# In colour, of real things, and large enough to be cropped: what people embed.
COLOURFUL = (
    "astronaut.png",
    "chelsea.png",
    "coffee.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "retina.jpg",
    "rocket.jpg",
)


@cache
def folder() -> Path:
    """Where scikit-image keeps its pictures; found without importing it, which takes seconds."""
    found = find_spec("skimage")
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError("scikit-image, whose wheel ships the photographs, is not installed")
    return Path(next(iter(found.submodule_search_locations))) / "data"


def pictures() -> list[Path]:
    """Every picture of the wheel that Pillow reads: photographs, drawings, textures, pages, an animation."""
    return sorted(path for path in folder().iterdir() if path.suffix in SUFFIXES and path.name not in UNREADABLE)


def variation(seed: int) -> Image.Image:
    """A part of a photograph, resized and perhaps mirrored: another one for every seed, always the same."""
    from PIL import Image, ImageOps

    chance = random.Random(seed)
    photo = _opened(COLOURFUL[seed % len(COLOURFUL)])
    share = chance.uniform(0.45, 0.9)
    width, height = round(photo.width * share), round(photo.height * share)
    left, top = chance.randint(0, photo.width - width), chance.randint(0, photo.height - height)
    scale = chance.randint(240, 480) / max(width, height)
    part = photo.crop((left, top, left + width, top + height))
    part = part.resize((round(width * scale), round(height * scale)), Image.Resampling.LANCZOS)
    return ImageOps.mirror(part) if chance.random() < 0.5 else part


def write_photos(destination: Path, count: int, *, seed: int = 0) -> list[Path]:
    """Write `count` different JPEG files, a third of them in the subfolder `more`, the same for a seed."""
    paths = []
    for number in range(count):
        path = destination / ("more" if number % 3 == 2 else ".") / f"photo-{number:04d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        variation(seed * 100_003 + number).save(path, quality=90)
        paths.append(path)
    return paths


@cache
def _opened(name: str) -> Image.Image:
    from PIL import Image

    with Image.open(folder() / name) as image:
        return image.convert("RGB")


if __name__ == "__main__":
    print(folder())
