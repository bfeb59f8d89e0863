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
LISTED_FROM = 100
"""From so many names on, what they have in common is listed; the folder may hold any number of other objects."""


def find_tars(
    pages: S3Client, bucket: str, keys: Sequence[str], *, tally: ListingTally, deadline: Deadline
) -> Iterator[S3Object]:
    """Yield the objects that have these keys, folder by folder, and then the keys without an object.

    What is not there stays in the run, whose workers report it by name: a pattern often has a gap. The first of these
    names are added to `tally.empty_paths`. If nothing at all is there, nothing is yielded.

    Raises:
        OutOfTimeError: the deadline passed.
    """
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for key in keys:
        folders[key[: key.rfind("/") + 1]].append(key)
    absent: list[str] = []
    for names in folders.values():
        wanted = dict.fromkeys(names)
        common = os.path.commonprefix(names)  # noqa: RUF071  keys have characters, not parts
        prefixes = [common] if len(names) >= LISTED_FROM else names
        for found in list_folders(pages, bucket, prefixes, tally=ListingTally(), deadline=deadline):
            if found.key in wanted:
                del wanted[found.key]
                yield found
        absent += wanted
    tally.empty_paths += absent[:MOST_ABSENT_NAMED]
    if len(absent) < len(keys):
        yield from (S3Object(key=key, etag=None, size=None) for key in absent)
