"""The records that the stages pass on: reference → sample → picture → stored vector."""

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
    """How the upright RGB image becomes the model's input, as the model's publisher describes it."""

    resize: int
    """The side's length in pixels after resizing; `fit` says which side."""
    crop: int
    """The side's length in pixels of the square that is cut from the centre; the model sees this square."""
    interpolation: Literal["bilinear", "bicubic"]
    mean: tuple[float, float, float]
    """Subtracted from each channel, in units of 0 to 1."""
    std: tuple[float, float, float]
    """Each channel is then divided by this."""
    fit: Literal["short", "both", "pad"] = "short"
    """`short`: the short side becomes `resize`. `both`: both sides do, whatever the proportions. `pad`: the long side
    does, and `fill` makes the picture square."""
    fill: tuple[int, int, int] = (0, 0, 0)
    """The RGB levels of the border that `pad` adds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """What produced a vector. As text: `resnet18/f37072fd/pre1/float32`, with `/normalized` if the length is 1."""

    model: str
    """The model's name, which may contain slashes."""
    digest: str
    """Eight hex digits of the SHA-256 of the weights; `random` for seeded weights."""
    preprocessing: str
    """The version of decoding and resizing. It changes when the same file would give different pixels."""
    data_type: str
    """The requested numpy dtype."""
    normalized: bool

    @classmethod
    def parse(cls, text: str) -> Fingerprint:
        """Parse what `str` wrote.

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
    """An image to embed, not read yet."""

    image_id: str
    uri: str
    """`s3://bucket/key` or `file:///…`; the `Source` of the stored vector."""
    etag: str | None = None
    """The content's ETag, if the listing knows it. A local file's ETag is known once the file is read."""
    size: int | None = None
    """In bytes."""
    modified: str | None = None
    """For local files: size and modification time. For members of tar files: their place. It replaces the ETag until
    that is known."""


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
    """An image's bytes as they are in the source. The reference's ETag is that of these bytes."""

    reference: Reference
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What `--metadata` stores about an image's file. A run without the option leaves every field None."""

    width: int | None = None
    height: int | None = None
    size: int | None = None
    format: str | None = None
    taken: str | None = None


NO_METADATA = Metadata()


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """An image as the model sees it, before normalisation."""

    reference: Reference
    pixels: Pixels  # (crop, crop, 3) uint8, RGB
    metadata: Metadata = NO_METADATA


SCHEMA_VERSION = 2
"""Increase this when you add a field to `StoredVector`. Files made before there were versions count as 0."""


def _named(attribute: str, **absent: object) -> dict[str, object]:
    """Return a field's metadata: its name in the stores, and its value in an item that lacks it."""
    return {"attribute": attribute, **absent}


@dataclass(frozen=True, slots=True)
class VectorInfo:
    """A stored vector without its numbers. Arguments may be positional: this makes one from a database row cheaply."""

    image_id: str = field(metadata=_named("ImageId"))
    data_type: str = field(metadata=_named("DataType", absent="float32"))
    """The name of the stored numbers' numpy dtype."""
    dimension: int = field(metadata=_named("Dimension", absent=0))
    created: str = field(metadata=_named("Created", absent=""))
    """ISO 8601, UTC."""
    fingerprint: str = field(metadata=_named("Fingerprint", absent=""))
    etag: str = field(metadata=_named("ETag", absent=""))
    source: str = field(metadata=_named("Source", absent=""))
    modified: str | None = field(default=None, metadata=_named("Modified"))
    """For local files: size and modification time."""
    scale: float | None = field(default=None, metadata=_named("Scale"))
    """The vector is the stored numbers × this; None means × 1."""
    width: int | None = field(default=None, metadata=_named("Width"))
    """Of the whole upright picture, in pixels. This field and those below are None in a vector without metadata."""
    height: int | None = field(default=None, metadata=_named("Height"))
    size: int | None = field(default=None, metadata=_named("Bytes"))
    """Of the image's file, in bytes."""
    format: str | None = field(default=None, metadata=_named("Format"))
    """Pillow's name of the file's format, for example `JPEG`."""
    taken: str | None = field(default=None, metadata=_named("Taken"))
    """When the picture was taken, ISO 8601, if its EXIF block says so; with an offset only if that is there, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVector(VectorInfo):
    """A stored vector: one DynamoDB item, or one row of the table `vectors`.

    The schema is defined only here: a store derives its columns or attributes from `ATTRIBUTES`.
    """

    vector: bytes = field(metadata=_named("Vector"))
    """Little-endian, `dimension` numbers of `data_type`."""


def numbers_of(rows: Sequence[bytes], data_type: np.dtype[Any], scales: Sequence[float] | None = None) -> Vectors:
    """Return the vectors that stored bytes stand for, (n, dimension).

    Args:
        rows: at least one, all of one length.
        data_type: of the stored numbers.
        scales: of the rows, if they have any: the vectors are then float32, else of `data_type`.
    """
    vectors: Vectors = np.frombuffer(b"".join(rows), data_type.newbyteorder("<")).reshape(len(rows), -1)
    if scales is None:
        return vectors
    return np.multiply(vectors, np.array(scales, np.float32)[:, None], dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """A field of `StoredVector` as the stores see it."""

    name: str
    """The name of the attribute or column."""
    field: str
    kind: type
    """The type of its values: str, int, float or bytes."""
    optional: bool
    """Whether a vector may lack it. Fields that were added later are optional, so that older stores can be read."""
    absent: object = None
    """The value to assume for an item that another program wrote without this attribute."""


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
"""All fields of a stored vector. The key comes first. The vector comes last, so that SQLite can read the other columns
of a row without walking through the pages of the vector."""
INFO_ATTRIBUTES = tuple(map(_attribute, fields(VectorInfo)))
METADATA_ATTRIBUTES = tuple(each for each in ATTRIBUTES if each.field in {item.name for item in fields(Metadata)})
KEY = ATTRIBUTES[0].name


@dataclass(frozen=True, slots=True)
class Block:
    """Several stored vectors as columns, so that reading a million needs no object for each.

    Each column is named after the field of `StoredVector` whose values it has.
    """

    image_ids: Sequence[str]
    fingerprints: Sequence[str]
    data_types: Sequence[str]
    dimensions: Sequence[int]
    scales: Sequence[float | None]
    vectors: Sequence[bytes]
    metadata: Sequence[Sequence[Any]] = ()
    """The columns of `METADATA_ATTRIBUTES`, where they were asked for."""

    @classmethod
    def of(cls, rows: Iterable[Sequence[Any]]) -> Block:
        """Turn rows into columns.

        Args:
            rows: at least one, each with the values of `BLOCK_ATTRIBUTES`, and of `METADATA_ATTRIBUTES` if those were
                asked for.
        """
        columns = list(zip(*rows, strict=True))
        count = len(BLOCK_ATTRIBUTES)
        return cls(*columns[:count], *[columns[count:]])

    def only(self, fingerprint: str) -> Block:
        """Return the vectors that have this fingerprint."""
        chosen = [each == fingerprint for each in self.fingerprints]
        columns = (getattr(self, f"{each.field}s") for each in BLOCK_ATTRIBUTES)
        metadata = [list(compress(column, chosen)) for column in self.metadata]
        return Block(*(list(compress(column, chosen)) for column in columns), *[metadata])


BLOCK_ATTRIBUTES = tuple(each for name in fields(Block) for each in ATTRIBUTES if f"{each.field}s" == name.name)
"""The attributes of a block, in the order of its columns. Those of the metadata come behind them."""
