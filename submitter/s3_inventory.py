"""Read the objects that an S3 Inventory in CSV lists, for buckets that take too long to list."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from submitter.deadline import Deadline
from submitter.errors import UsageError
from submitter.manifest import bare_etag
from submitter.object_stream import ObjectStream
from submitter.objects import Objects
from submitter.selection import S3Object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHECK_EVERY = 1000


def read_inventory(
    s3: S3Client, uri: str, *, bucket: str, folders: Sequence[str], deadline: Deadline
) -> Iterator[S3Object]:
    """Yield the objects under `folders` in the inventory whose manifest.json is at `uri`.

    Raises:
        UsageError: it is not an inventory of `bucket` in CSV.
        OutOfTimeError: the deadline passed.
    """
    home, manifest = _read_manifest(s3, uri, bucket)
    columns = [name.strip() for name in manifest["fileSchema"].split(",")]
    if "Key" not in columns:
        raise UsageError(f"the inventory {uri} has no column Key; its columns are {', '.join(columns)}")
    wanted = tuple(folders)
    rows = 0
    for file in manifest["files"]:
        for row in _rows(s3, home, file["key"], len(columns)):
            rows += 1
            if rows % _CHECK_EVERY == 0:
                deadline.check(rows)
            found = _found(dict(zip(columns, row, strict=True)))
            if found.key.startswith(wanted):
                yield found


def _read_manifest(s3: S3Client, uri: str, bucket: str) -> tuple[str, Mapping[str, Any]]:
    matched = re.fullmatch(r"s3://([^/]+)/(.+\.json)", uri, re.DOTALL)
    if matched is None:
        raise UsageError(f"{uri!r} is not the address of an inventory: expected s3://BUCKET/…/manifest.json")
    home, key = matched.groups()
    body = Objects(client=s3, bucket=home).get(key)
    if body is None:
        raise UsageError(f"there is no inventory at {uri}")
    try:
        manifest = json.loads(body)
        source, kind = manifest["sourceBucket"], manifest["fileFormat"]
        _ = manifest["fileSchema"], [file["key"] for file in manifest["files"]]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{uri} is not the manifest.json of an S3 Inventory: {error!r}") from error
    if kind != "CSV":
        raise UsageError(f"the inventory {uri} is in {kind}, and only CSV is supported: configure one in CSV")
    if source != bucket:
        raise UsageError(f"the inventory {uri} is of the bucket {source}, but the run is for {bucket}")
    return home, manifest


def _rows(s3: S3Client, bucket: str, key: str, columns: int) -> Iterator[list[str]]:
    body = io.BufferedReader(ObjectStream(s3, bucket, key))
    number = 0
    try:
        with gzip.open(body) as unpacked, io.TextIOWrapper(unpacked, encoding="utf-8", newline="") as text:
            for number, row in enumerate(csv.reader(text), start=1):
                if len(row) != columns:
                    raise UsageError(
                        f"line {number} of the inventory file s3://{bucket}/{key} has {len(row)} columns, "
                        f"but its manifest names {columns}"
                    )
                yield row
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"the inventory file s3://{bucket}/{key} is damaged after line {number}: {error}") from error


def _found(row: Mapping[str, str]) -> S3Object:
    old = row.get("IsLatest") == "false" or row.get("IsDeleteMarker") == "true"
    size = row.get("Size", "")
    return S3Object(
        key=unquote_plus(row["Key"]),  # the inventory encodes keys like the query of a URL
        etag=bare_etag(row.get("ETag")) or None,
        size=int(size) if size.isdecimal() else None,
        storage_class=row.get("StorageClass") or "STANDARD",
        passed_over="noncurrent" if old else None,
    )
