"""Pictures that a caller of `Embedder` hands in: addresses, bytes of files, Pillow's images and arrays of pixels."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from embedder.errors import ConfigurationError, ImageError
from embedder.records import Pixels, Reference
from embedder.sources.folder import file_uri

OneImage: TypeAlias = str | Path | bytes | bytearray | memoryview | Image.Image | Pixels | None
"""A path or address, the bytes of an image file, a Pillow image, or pixels (H, W, 3) of uint8. None stands for an image
that another program could not get."""
Images: TypeAlias = OneImage | Iterable[OneImage]
"""One image or several; pixels of several may be one array (N, H, W, 3)."""

KINDS = (str, Path, bytes, bytearray, memoryview, Image.Image, type(None))


def named(images: Images) -> list[tuple[str, OneImage]]:
    """List the images, each with what to call it: an address as it is, any other image by its place.

    Raises:
        ConfigurationError: something among them is not an image.
    """
    if isinstance(images, KINDS) or (isinstance(images, np.ndarray) and images.dtype != object and images.ndim <= 3):
        return [_named("the image", images)]
    if not isinstance(images, Iterable):
        raise _unknown("the image", images)
    return [_named(f"images[{place}]", each) for place, each in enumerate(images)]


def _named(name: str, image: Any) -> tuple[str, OneImage]:
    if isinstance(image, str | Path):
        return str(image), image
    if isinstance(image, KINDS):
        return name, image
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        return name, image
    raise _unknown(name, image)


def _unknown(name: str, image: object) -> ConfigurationError:
    what = f"of the type {type(image).__name__}"
    if isinstance(image, np.ndarray):
        what = f"an array of {image.dtype}, {image.shape}"
    return ConfigurationError(
        f"{name} is {what}; expected a path, the bytes of an image file, a PIL image, or an array of uint8, (H, W, 3)"
    )


def reference(address: str | Path) -> Reference:
    """Return the reference of a path, or of an address such as `s3://bucket/key`."""
    text = str(address)
    return Reference(image_id=text, uri=text if "://" in text else file_uri(Path(text)))


def picture(image: Image.Image | Pixels, max_pixels: int) -> Image.Image:
    """Return pixels as a Pillow image that is loaded.

    Raises:
        ImageError: it has no pixel or too many, or Pillow opened it and cannot decode it.
    """
    height, width = image.shape[:2] if isinstance(image, np.ndarray) else image.size[::-1]
    if not height * width:
        raise ImageError("Empty", "there is no pixel in it")
    if height * width > max_pixels:
        raise ImageError("TooManyPixels", f"{width} x {height} is more than {max_pixels:,} pixels (max_pixels)")
    if isinstance(image, np.ndarray):
        return Image.fromarray(np.ascontiguousarray(image))
    try:
        image.load()
    # Pillow's plugins raise whatever their parsers do; see the decoder.
    except Exception as error:
        raise ImageError("Corrupt", f"Pillow cannot decode it: {error}") from error
    return image
