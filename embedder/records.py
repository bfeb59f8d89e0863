"""What the stages hand to each other: reference → sample → picture → embedding → stored vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]
Vectors: TypeAlias = npt.NDArray[np.floating[Any]]
Stage: TypeAlias = Literal["list", "check", "load", "fetch", "decode", "encode", "write"]


PREPROCESSING_VERSION = "pre1"
"""Part of every fingerprint. It changes when the same file would give different pixels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """From the upright RGB image to a model's input, as its publisher describes it."""

    resize: int
    """Pixels that the image is resized to; of which side, `fit` says."""
    crop: int
    """Pixels of both sides of the square that the model sees, cut from the centre."""
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[float, float, float]
    """Subtracted from each channel, in units of 0 to 1."""
    std: tuple[float, float, float]
    """What each channel is then divided by."""
    fit: Literal["short", "both", "pad"] = "short"
    """`short`: the short side becomes `resize`. `both`: both sides do, whatever the proportions. `pad`: the long side
    does, and `fill` makes the picture square."""
    fill: tuple[int, int, int] = (0, 0, 0)
    """The RGB levels of the border that `pad` adds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What produced a vector. Written out: `resnet18/f37072fd/pre1/float32`, with `/normalized` if it was scaled."""

    model: str
    """The model's name, which may hold slashes itself."""
    digest: str
    """Eight hex digits of the SHA-256 of the weights; `random` for seeded ones."""
    preprocessing: str
    """The version of decoding and resizing; it changes when the same file would give different pixels."""
    data_type: str
    """The numpy dtype that was asked for."""
    normalized: bool

    @classmethod
    def parse(cls, text: str) -> Fingerprint:
        """Read what `str` wrote.

        Raises:
            ValueError: the text has another form.
        """
        plain = text.removesuffix("/normalized")
        model, digest, preprocessing, data_type = plain.rsplit("/", 3)
        return cls(
            model=model,
            digest=digest,
            preprocessing=preprocessing,
            data_type=data_type,
            normalized=plain != text,
        )

    def __str__(self) -> str:
        text = "/".join((self.model, self.digest, self.preprocessing, self.data_type))
        return f"{text}/normalized" if self.normalized else text


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An image to embed, by name."""

    image_id: str
    uri: str
    """`s3://bucket/key` or `file:///…`; the `Source` of the stored vector."""
    etag: str | None = None
    """The content's ETag where the listing knows it; a local file's is known once it is read."""
    size: int | None = None
    """Bytes."""
    modified: str | None = None
    """Local files only: size and modification time, which stand for the ETag until it is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why one image has no vector."""

    image_id: str
    stage: Stage
    error: str
    message: str
    etag: str | None = None
    transient: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """An image as it lies in the source; the reference's ETag is the one of these bytes."""

    reference: Reference
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image as the model sees it, before normalisation."""

    reference: Reference
    pixels: Pixels  # (crop, crop, 3) uint8, RGB


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """A batch's vectors, row for row."""

    references: tuple[Reference, ...]
    vectors: Vectors  # (B, D), in the dtype to be stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Some stored vectors at once, a column each: a million are read without an object for each."""

    image_ids: Sequence[str]
    fingerprints: Sequence[str]
    data_types: Sequence[str]
    dimensions: Sequence[int]
    vectors: Sequence[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorInfo:
    """A stored vector without its numbers."""

    image_id: str
    data_type: str
    """numpy dtype name."""
    dimension: int
    created: str
    """ISO 8601, UTC."""
    fingerprint: str
    etag: str
    source: str
    modified: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVector(VectorInfo):
    """A stored vector: one DynamoDB item, or one row of the table `vectors`."""

    vector: bytes
    """Little-endian, `dimension` numbers of `data_type`."""
