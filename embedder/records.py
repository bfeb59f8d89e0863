"""What the stages hand to each other: reference → sample → picture → batch → embedding → vector."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]
Vectors: TypeAlias = npt.NDArray[np.floating[Any]]
Stage: TypeAlias = Literal["list", "check", "load", "fetch", "decode", "encode", "write"]


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
class Batch:
    """Pictures to be encoded in one call."""

    references: tuple[Reference, ...]
    pixels: Pixels  # (B, crop, crop, 3) uint8, RGB


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
