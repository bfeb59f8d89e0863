"""What decoding gives for an image file."""

from __future__ import annotations

from dataclasses import dataclass

from embedder.records import Metadata, Pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A picture as the model sees it, and what is known of the file that it came from."""

    pixels: Pixels  # (crop, crop, 3) uint8, RGB
    notices: tuple[str, ...] = ()
    """Short stable names of what was wrong with the file and did no harm: the table in docs/reference.md."""
    width: int
    """Of the whole picture, upright, in pixels."""
    height: int
    format: str
    """Pillow's name of the file's format, for example `JPEG`."""
    taken: str | None = None
    """When the picture was taken, ISO 8601; None if the file does not say so, or the decoder was not asked."""

    def metadata(self, size: int) -> Metadata:
        """Return what is stored beside the vector, given the file's size in bytes."""
        return Metadata(width=self.width, height=self.height, size=size, format=self.format, taken=self.taken)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mended:
    """A file without the damage that touches no pixel."""

    data: bytes
    notices: tuple[str, ...]
