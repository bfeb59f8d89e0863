"""List the objects in folders of a bucket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from submitter.deadline import Deadline
from submitter.listing_pages import read_page
from submitter.parallel_listing import ParallelListing
from submitter.selection import ListingTally, S3Object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PAGE = 1000
"""The most objects that S3 puts into a page."""


def list_folders(
    pages: S3Client,
    bucket: str,
    folders: Sequence[str],
    *,
    tally: ListingTally,
    deadline: Deadline,
    page_size: int = PAGE,
) -> Iterator[S3Object]:
    """Yield the objects under `folders`, folder by folder, each in the order of its keys.

    Folders without any object are added to `tally.empty_paths`. boto3 asks S3 to encode the keys in its answers, so
    that characters that XML cannot hold arrive unchanged.

    Args:
        folders: key prefixes that end with a slash and do not overlap.

    Raises:
        OutOfTimeError: the deadline passed.
    """
    listed = 0
    for folder in folders:
        before = listed
        for page in ParallelListing(read=partial(read_page, pages, bucket, folder, size=page_size)).pages():
            listed += len(page.objects)
            yield from page.objects
            deadline.check(listed)
        if listed == before:
            tally.empty_paths.append(folder)
