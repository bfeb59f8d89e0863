"""Find the tar files that a request names one by one or by patterns."""

from __future__ import annotations

import os.path
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from submitter.deadline import Deadline
from submitter.listing import list_folders
from submitter.selection import ListingTally, S3Object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MOST_ABSENT_NAMED = 100


def find_tars(
    pages: S3Client, bucket: str, keys: Sequence[str], *, tally: ListingTally, deadline: Deadline
) -> Iterator[S3Object]:
    """Yield the objects that have these keys, folder by folder, and then the keys without an object.

    The folders are listed, because a pattern stands for many of a folder's objects, and a page of a listing costs as
    much time as one object's HeadObject. What is not there stays in the run, whose workers report it by name: a pattern
    often has a gap. The first of these names are added to `tally.empty_paths`. If nothing at all is there, nothing is
    yielded.

    Raises:
        OutOfTimeError: the deadline passed.
    """
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        folders[key[: key.rfind("/") + 1]].append(key)
    absent: list[str] = []
    for names in folders.values():
        wanted = dict.fromkeys(names)
        prefix = os.path.commonprefix(names)  # noqa: RUF071  keys have characters, not parts
        for found in list_folders(pages, bucket, [prefix], tally=ListingTally(), deadline=deadline):
            if found.key in wanted:
                del wanted[found.key]
                yield found
        absent += wanted
    tally.empty_paths += absent[:MOST_ABSENT_NAMED]
    if len(absent) < len(keys):
        yield from (S3Object(key=key, etag=None, size=None) for key in absent)
