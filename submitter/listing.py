"""List the objects in folders of a bucket, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from submitter.deadline import Deadline
from submitter.manifest import bare_etag
from submitter.selection import ListingTally, S3Object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


def list_folders(
    pages: S3Client, bucket: str, folders: Sequence[str], *, tally: ListingTally, deadline: Deadline
) -> Iterator[S3Object]:
    """Every object below `folders`, which end with a slash and do not overlap, in their order.

    Notes folders that hold nothing in `tally.empty_paths`. boto3 asks S3 to encode the keys in its
    answer and decodes them, so that characters XML cannot hold arrive whole.
    Raises OutOfTimeError when the deadline comes first.
    """
    listed = 0
    for folder in folders:
        before = listed
        for page in pages.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=folder):
            for found in page.get("Contents", []):
                listed += 1
                yield S3Object(
                    key=found["Key"],
                    etag=bare_etag(found.get("ETag")),
                    size=found["Size"],
                    storage_class=found.get("StorageClass", "STANDARD"),
                )
            deadline.check(listed)
        if listed == before:
            tally.empty_paths.append(folder)
