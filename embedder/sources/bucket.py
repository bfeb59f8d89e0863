"""Images in S3: everything below a prefix, or one object."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from embedder.records import Failure, Reference, Sample
from embedder.sources import Selection
from embedder.sources.naming import image_id, unique_stems
from embedder.sources.reader import S3Reader, split_uri

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import ObjectTypeDef

ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class PrefixSource:
    """The images below an S3 prefix, listed page by page as they are needed; see `Source`.

    A prefix names a folder: `s3://b/images` means `images/…` and never `images-old/…`. If there is an object `images`,
    it means that object alone.
    """

    remote = True

    def __init__(self, reader: S3Reader, bucket: str, prefix: str, selection: Selection) -> None:
        self.reader = reader
        self.readers = reader.readers
        self.bucket = bucket
        self.selection = selection
        self.single = bool(prefix) and not prefix.endswith("/") and reader.exists(bucket, prefix, at_start=True)
        self.prefix = prefix if self.single or not prefix or prefix.endswith("/") else f"{prefix}/"
        self.name = f"s3://{bucket}/{self.prefix}"
        self.ignored: Counter[str] = Counter()
        self.total: int | None = 1 if self.single else None

    def references(self) -> Iterator[Reference | Failure]:
        if self.single:
            return iter([self._reference(self.prefix, None, None)])
        found = self._list()
        return unique_stems(found) if self.selection.image_id == "stem" else found

    def _list(self) -> Iterator[Reference | Failure]:
        for entry in self._images(self.ignored):
            yield self._reference(entry["Key"], entry["ETag"].strip('"'), entry["Size"])

    def count(self) -> Iterator[object]:
        return self._images(Counter())

    def _images(self, ignored: Counter[str]) -> Iterator[ObjectTypeDef]:
        """Yield the images' entries in the listing.

        Args:
            ignored: counts what is left out.
        """
        for page in self.reader.pages(self.bucket, self.prefix):
            for entry in page:
                key, size = entry["Key"], entry["Size"]
                if key.endswith("/") and not size:
                    ignored["folder marker"] += 1
                elif reason := self.selection.reason_to_ignore(key.removeprefix(self.prefix)):
                    ignored[reason] += 1
                elif entry.get("StorageClass") in ARCHIVED:
                    ignored[f"archived ({entry['StorageClass']})"] += 1
                else:
                    yield entry

    def _reference(self, key: str, etag: str | None, size: int | None) -> Reference:
        uri = f"s3://{self.bucket}/{key}"
        identity = image_id(self.selection.image_id, key=key, uri=uri)
        return Reference(image_id=identity, uri=uri, etag=etag, size=size)

    def read(self, reference: Reference) -> Sample:
        return self.reader.read(reference)

    def close(self) -> None:
        self.reader.close()

    def holds(self, uri: str) -> bool:
        return uri.startswith(self.name)

    def exists(self, uri: str) -> bool:
        return self.reader.exists(*split_uri(uri))


def open_prefix(name: str, selection: Selection, stopping: threading.Event) -> PrefixSource:
    """Open `s3://bucket/prefix/`; see `Opener`."""
    bucket, prefix = split_uri(name)
    return PrefixSource(S3Reader(stopping), bucket, prefix, selection)
