"""How many images some tar files probably hold, by what a few of them say at their beginnings.

A tar file has no list of contents: only who reads all of it knows how many images it holds. A plan needs no more than
the mean, which the headers in the first megabytes of a few files give for the price of as many requests.
"""

from __future__ import annotations

import io
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from submitter.cost import Rates, write_units
from submitter.counted import counted
from submitter.errors import error_code
from submitter.manifest import Entry, no_picture
from submitter.object_stream import ObjectStream

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FILES = 3
"""How many files are looked into."""

BEGINNING = 4 << 20
"""Bytes of each: forty headers if an image has 100 kB. Of a larger image the header is enough, for it says the size."""

_UNREADABLE = {"AccessDenied", "403", "NoSuchKey", "404"}
"""Answers after which a plan goes on with an assumption: whoever plans need not be allowed to read images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TarEstimate:
    """How many images some tar files probably hold."""

    images: int
    bytes_per_image: float
    """With the headers, and with the files beside the images, such as captions."""
    sampled_tars: int
    sampled_images: int
    """Both counts are 0 if the size of an image is assumed."""
    assumed_because: str | None
    """Why no image could be looked at."""
    write_units: int

    @property
    def basis(self) -> str:
        """Where the number comes from, in words."""
        mean = f"{self.bytes_per_image / 1000:,.1f} kB an image"
        if self.assumed_because:
            return f"{mean} is assumed, because {self.assumed_because}"
        return f"{mean}, by {counted(self.sampled_images, 'image')} in {counted(self.sampled_tars, 'tar file')}"


@dataclass(frozen=True, slots=True)
class _Beginning:
    """What the headers at the beginning of a file say."""

    keys: tuple[str, ...]
    """Of the images, `TAR/MEMBER`."""
    bytes: int
    """To the end of the last file that a header tells of."""


def sampled(entries: Sequence[Entry]) -> list[Entry]:
    """Return the few tar files that stand for all: the same ones each time, in whatever order they are listed."""
    return nsmallest(FILES, (each for each in entries if each.size), key=lambda entry: zlib.crc32(entry.key.encode()))


def estimate_images(
    s3: S3Client, bucket: str, sample: Sequence[Entry], *, total: int, suffixes: Sequence[str], rates: Rates
) -> TarEstimate:
    """Estimate how many images tar files hold.

    Args:
        sample: those of the files to look into.
        total: bytes of all files.
        suffixes: of images, without their dot.
    """
    seen, problem = _look_into(s3, bucket, sample, tuple(f".{suffix}" for suffix in suffixes))
    seen = seen if any(each.keys for each in seen) else []
    keys = [key for each in seen for key in each.keys]
    mean = sum(each.bytes for each in seen) / len(keys) if keys else rates.bytes_per_tar_image
    images = round(total / mean)
    typical = keys or [f"{entry.key}/000000000.{suffixes[0]}" for entry in sample] or [""]
    units = sum(write_units(bucket, key, rates, in_tar=True) for key in typical) / len(typical)
    return TarEstimate(
        images=images,
        bytes_per_image=round(mean, 1),
        sampled_tars=len(seen),
        sampled_images=len(keys),
        assumed_because=None if keys else problem or f"the beginnings of {len(sample)} of the files hold no image",
        write_units=round(images * units),
    )


def _look_into(
    s3: S3Client, bucket: str, sample: Sequence[Entry], endings: tuple[str, ...]
) -> tuple[list[_Beginning], str]:
    """Return the beginnings of the files that can be read, and a sentence about the last one that cannot."""
    seen: list[_Beginning] = []
    problem = ""
    for entry in sample:
        try:
            with io.BufferedReader(ObjectStream(s3, bucket, entry.key, most=BEGINNING)) as stream:
                seen.append(_beginning(entry, stream.read(), endings))
        except ClientError as error:
            if error_code(error) not in _UNREADABLE:
                raise
            problem = f"S3 answers {error_code(error)} for s3://{bucket}/{entry.key}"
        except (tarfile.TarError, ValueError, OverflowError) as error:
            problem = f"s3://{bucket}/{entry.key} is no tar file: {error}"
    return seen, problem


def _beginning(entry: Entry, data: bytes, endings: tuple[str, ...]) -> _Beginning:
    keys, end = list[str](), 0
    for member in _headers(data):
        end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        name = member.name.removeprefix("./")
        if member.isreg() and name.lower().endswith(endings) and not no_picture(name):
            keys.append(f"{entry.key}/{name}")
    return _Beginning(keys=tuple(keys), bytes=max(end, len(data)) if len(data) == entry.size else end)


def _headers(data: bytes) -> Iterator[tarfile.TarInfo]:
    """Yield what the headers in the beginning of a file say, as far as it goes.

    Raises:
        tarfile.TarError: it is not the beginning of a tar file.
    """
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
        last = -1
        while True:
            try:
                found = tar.next()
            except tarfile.ReadError:
                return  # the next header is beyond the beginning
            if found is None or found.offset <= last:
                return
            last = found.offset
            yield found
