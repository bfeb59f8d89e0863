"""What the stages hand to each other: reference → sample → picture → stored vector."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import Field, dataclass, field, fields
from itertools import compress
from types import NoneType
from typing import Any, Literal, TypeAlias, get_args, get_type_hints

import numpy as np
import numpy.typing as npt

Pixels: TypeAlias = npt.NDArray[np.uint8]
Vectors: TypeAlias = npt.NDArray[np.floating[Any]]
Stage: TypeAlias = Literal["list", "check", "load", "fetch", "decode", "encode", "write"]

TIMED_STAGES: tuple[Stage, ...] = ("load", "fetch", "decode", "encode", "write")
"""The stages whose seconds are reported."""


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


SCHEMA_VERSION = 1
"""Raise it when a field is added to a stored vector. Files made before there were versions are 0."""


def _named(attribute: str, **absent: object) -> dict[str, object]:
    """Metadata of a field: what the stores call it, and its value where something else wrote none."""
    return {"attribute": attribute, **absent}


@dataclass(frozen=True, slots=True)
class VectorInfo:
    """A stored vector without its numbers. Positional arguments make it of a database's row at little cost."""

    image_id: str = field(metadata=_named("ImageId"))
    data_type: str = field(metadata=_named("DataType", absent="float32"))
    """The stored numbers' numpy dtype, by name."""
    dimension: int = field(metadata=_named("Dimension", absent=0))
    created: str = field(metadata=_named("Created", absent=""))
    """ISO 8601, UTC."""
    fingerprint: str = field(metadata=_named("Fingerprint", absent=""))
    etag: str = field(metadata=_named("ETag", absent=""))
    source: str = field(metadata=_named("Source", absent=""))
    modified: str | None = field(default=None, metadata=_named("Modified"))
    """Local files only: size and modification time."""
    scale: float | None = field(default=None, metadata=_named("Scale"))
    """The vector is the stored numbers × this. None: it is the numbers themselves."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVector(VectorInfo):
    """A stored vector: one DynamoDB item, or one row of the table `vectors`.

    The schema is written down here and nowhere else: a store derives its columns or attributes from `ATTRIBUTES`.
    """

    vector: bytes = field(metadata=_named("Vector"))
    """Little-endian, `dimension` numbers of `data_type`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One field of a stored vector, as the stores see it."""

    name: str
    """Of the attribute, or of the column."""
    field: str
    kind: type
    """Of its values: str, int, float or bytes."""
    optional: bool
    """Whether a vector may be without it. Fields that were added later are, so that older stores can be read."""
    absent: object = None
    """Its value in an item that something else wrote without it."""


def _attribute(each: Field[Any]) -> Attribute:
    hint = get_type_hints(StoredVector)[each.name]
    kinds = get_args(hint) or (hint,)
    return Attribute(
        name=each.metadata["attribute"],
        field=each.name,
        kind=next(kind for kind in kinds if kind is not NoneType),
        optional=NoneType in kinds,
        absent=each.metadata.get("absent"),
    )


ATTRIBUTES = tuple(map(_attribute, fields(StoredVector)))
"""All of a stored vector. The key comes first; the vector comes last, so that whoever reads the rest of a SQLite row
does not walk through the pages of its vector."""
INFO_ATTRIBUTES = tuple(map(_attribute, fields(VectorInfo)))
KEY = ATTRIBUTES[0].name


@dataclass(frozen=True, slots=True)
class Block:
    """Some stored vectors at once, as columns: a million are read without an object for each.

    A column has the values of the field of `StoredVector` after which it is named.
    """

    image_ids: Sequence[str]
    fingerprints: Sequence[str]
    data_types: Sequence[str]
    dimensions: Sequence[int]
    scales: Sequence[float | None]
    vectors: Sequence[bytes]

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]]) -> Block:
        """Turn rows, at least one, with the values of `BLOCK_ATTRIBUTES`, into columns."""
        return cls(*zip(*rows, strict=True))

    def only(self, fingerprint: str) -> Block:
        """Return the vectors of one fingerprint."""
        chosen = [each == fingerprint for each in self.fingerprints]
        columns = (getattr(self, each.name) for each in fields(self))
        return Block(*(list(compress(column, chosen)) for column in columns))


BLOCK_ATTRIBUTES = tuple(each for name in fields(Block) for each in ATTRIBUTES if f"{each.field}s" == name.name)
"""Those of a block, in the order of its columns."""
