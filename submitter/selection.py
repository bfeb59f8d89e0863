"""Which objects are images, and how many of the others there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from submitter.manifest import RUNS_PREFIX, Entry, EntryKind, no_picture

DEFAULT_SUFFIXES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "avif")

TAR_SUFFIX = "tar"

ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})
"""Storage classes from which S3 reads only after a restore. GLACIER_IR reads at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Object:
    """An object as a listing, an inventory or a notification describes it."""

    key: str
    etag: str | None
    size: int | None
    storage_class: str = "STANDARD"
    passed_over: str | None = None
    """Why the object is not to be read, where the source itself says so."""


@dataclass(slots=True, kw_only=True)
class ListingTally:
    """What a stream of objects contained. The counts are complete once the stream has been read."""

    images: int = 0
    """Images or tar files, whichever were looked for."""
    bytes: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    """By reason: `hidden`, `AppleDouble`, `suffix`, `folder`, `archived`, `manifests`, `noncurrent`, `not_created`; and
    of a table of addresses `listed_twice`, `no_address`."""
    class_bytes: Counter[str] = field(default_factory=Counter)
    """Bytes of the images by storage class, because some classes charge for reading."""
    empty_paths: list[str] = field(default_factory=list)

    @property
    def seen(self) -> int:
        return self.images + sum(self.skipped.values())


def select(
    found: Iterable[S3Object],
    suffixes: tuple[str, ...],
    tally: ListingTally,
    folders: Sequence[str] = ("",),
    *,
    kind: EntryKind = "key",
) -> Iterator[Entry]:
    """Yield the images among `found` and count all objects into `tally`.

    Args:
        suffixes: without their dot.
        kind: of the entries: `tar` where tar files are looked for in the place of images.
        folders: the key prefixes that somebody named, of which one may itself be hidden.
    """
    endings = tuple(f".{suffix}" for suffix in suffixes)
    for each in found:
        reason = each.passed_over or _reason_to_skip(each, endings, folders)
        if reason:
            tally.skipped[reason] += 1
            continue
        tally.images += 1
        tally.bytes += each.size or 0
        tally.class_bytes[each.storage_class] += each.size or 0
        yield Entry(key=each.key, etag=each.etag, size=each.size, kind=kind)


def _reason_to_skip(found: S3Object, endings: tuple[str, ...], folders: Sequence[str]) -> str | None:
    if found.key.startswith(RUNS_PREFIX):
        return "manifests"
    if found.key.endswith("/") and not found.size:
        return "folder"
    folder = next((each for each in folders if found.key.startswith(each)), "")
    if reason := no_picture(found.key[len(folder) :]):
        return reason
    if not found.key.lower().endswith(endings):
        return "suffix"
    if found.storage_class in ARCHIVED:
        return "archived"
    return None
