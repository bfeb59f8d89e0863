"""Checks of the libraries: Python, torch, Pillow and its codecs, and whether decoding gives the right colours."""

from __future__ import annotations

import io
import platform
from importlib.metadata import PackageNotFoundError, version

import numpy as np
from PIL import Image, features

from embedder.decoding.decoder import Decoder
from embedder.doctor import Finding, ok
from embedder.records import Preprocessing

LEAST = {"torch": (2, 6), "torchvision": (0, 21), "pillow": (11, 3), "numpy": (1, 26), "boto3": (1, 36)}
CODECS = {"jpg": "JPEG", "webp": "WEBP", "avif": "AVIF", "jpg_2000": "JPEG2000", "libtiff": "TIFF", "zlib": "PNG"}
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "GIF", "BMP")
COLOURS = ((200, 40, 40), (40, 160, 60), (60, 60, 200), (230, 230, 230))
LEVELS = 12
"""How many levels a colour may be off after a lossy format."""


def versions() -> Finding:
    """Check the versions of Python and of the libraries."""
    found, old = [f"Python {platform.python_version()}"], []
    for name, least in LEAST.items():
        try:
            text = version(name)
        except PackageNotFoundError:
            return Finding("failed", f"{name} is not installed", "pip install embedder")
        found.append(f"{name} {text}")
        if tuple(int(part) for part in text.split("+")[0].split(".")[:2] if part.isdecimal()) < least:
            old.append(f"{name} {text} is older than {'.'.join(map(str, least))}")
    if old:
        return Finding("failed", "; ".join(old), "pip install --upgrade embedder")
    return ok(", ".join(found))


def codecs() -> Finding:
    """Check which formats this Pillow reads, and whether its JPEG library is libjpeg-turbo, the fast one."""
    present = [name for codec, name in CODECS.items() if features.check(codec)]
    missing = [name for codec, name in CODECS.items() if not features.check(codec)]
    turbo = bool(features.check_feature("libjpeg_turbo"))
    found = ", ".join(present) + (f", libjpeg-turbo {features.version_feature('libjpeg_turbo')}" if turbo else "")
    if missing or not turbo:
        lacks = ", ".join([*missing, *([] if turbo else ["libjpeg-turbo"])])
        return Finding(
            "warning",
            f"{found}; without {lacks}",
            "install Pillow from its wheel (pip install --force-reinstall pillow); without a codec its images fail",
        )
    return ok(found)


def decoding(preprocessing: Preprocessing) -> Finding:
    """Write four coloured fields in each format, and decode them as a run does."""
    decoder = Decoder(preprocessing, max_pixels=1 << 24)
    side = 2 * preprocessing.resize
    fields = np.zeros((side, side, 3), np.uint8)
    half = side // 2
    for number, colour in enumerate(COLOURS):
        row, column = divmod(number, 2)
        fields[row * half : (row + 1) * half, column * half : (column + 1) * half] = colour
    wrong = []
    readable = [name for name in FORMATS if name not in ("WEBP", "AVIF") or features.check(name.lower())]
    for name in readable:
        buffer = io.BytesIO()
        Image.fromarray(fields).save(buffer, name, **({"quality": 95} if name in ("JPEG", "WEBP", "AVIF") else {}))
        pixels = decoder.decode(buffer.getvalue()).pixels.astype(int)
        quarter = preprocessing.crop // 4
        for number, colour in enumerate(COLOURS):
            row, column = divmod(number, 2)
            seen = pixels[quarter * (1 + 2 * row), quarter * (1 + 2 * column)]
            if abs(seen - np.array(colour)).max() > LEVELS:
                wrong.append(f"{name} shows {tuple(map(int, seen))} for {colour}")
    if wrong:
        return Finding("failed", "; ".join(wrong), "install Pillow from its wheel: this decoder gives wrong colours")
    return ok(f"{', '.join(readable)} are decoded with the right colours")
