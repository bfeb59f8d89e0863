"""HEIC and HEIF, which Pillow reads with pillow-heif's help.

The package is an extra. It is imported when the first such file comes: that costs 20 to 60 ms and 5 MB, and most
runs see none.
"""

from __future__ import annotations

import re
import struct
from functools import cache
from importlib.util import find_spec

from embedder.errors import ImageError

FORMAT = "HEIF"
"""Pillow's name of it."""

SUFFIXES = ("heic", "heif")

CONTAINER = re.compile(rb".{4}ftyp(?!avi[fs])", re.DOTALL)
"""A file of boxes that is not, by its first brand, an AVIF. One of the common brands may still be one."""


def formats(data: bytes) -> tuple[str, ...]:
    """Return what more to look for in a file: HEIF, if it may be one and can be read."""
    return (FORMAT,) if CONTAINER.match(data) and _is_registered() else ()


def check(data: bytes) -> None:
    """Refuse a file that ends within one of its boxes: libheif leaves black what it misses of a grid of tiles.

    Raises:
        ImageError: it does.
    """
    at = 0
    while at + 8 <= len(data):
        size, name = struct.unpack_from(">I4s", data, at)
        if size == 1 and at + 16 <= len(data):
            size = struct.unpack_from(">Q", data, at + 8)[0]
        if at + size > len(data):
            raise ImageError("Corrupt", f"the HEIC picture is cut off: its box {name.decode('latin-1')!r} goes on")
        if size < 8:  # 0: up to the end of the file
            return
        at += size


def is_installed() -> bool:
    """Return whether HEIC and HEIF can be read, without importing anything."""
    try:
        return find_spec("pillow_heif") is not None
    except ValueError:  # raised if a program has put None into sys.modules to forbid the import
        return False


@cache
def _is_registered() -> bool:
    """Let Pillow read HEIF; return False if the package is missing."""
    if not is_installed():
        return False
    import pillow_heif

    # A decoding process has one core, as has each of those beside it.
    pillow_heif.register_heif_opener(decode_threads=1, thumbnails=False, depth_images=False, aux_images=False)
    return True
