"""An S3 Inventory in CSV to the objects it lists, for buckets too large to list themselves."""

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import unquote_plus

from submitter.deadline import Deadline
from submitter.errors import UsageError
from submitter.manifest import bare_etag
from submitter.objects import Objects
from submitter.selection import Found

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHECK_EVERY = 1000


def read_inventory(
    s3: "S3Client", uri: str, *, bucket: str, folders: Sequence[str], deadline: Deadline
) -> Iterator[Found]:
    """The objects below `folders` in the inventory whose manifest.json is at `uri`.

    Raises UsageError when it is not an inventory in CSV of `bucket`, OutOfTimeError when the
    deadline comes first.
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


def _read_manifest(s3: "S3Client", uri: str, bucket: str) -> tuple[str, Mapping[str, Any]]:
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
        raise UsageError(f"the inventory {uri} is in {kind}; only CSV is read, so configure one in CSV")
    if source != bucket:
        raise UsageError(f"the inventory {uri} is of the bucket {source}, and the run is for {bucket}")
    return home, manifest


def _rows(s3: "S3Client", bucket: str, key: str, columns: int) -> Iterator[list[str]]:
    body = cast(IO[bytes], s3.get_object(Bucket=bucket, Key=key)["Body"])
    number = 0
    try:
        with gzip.open(body) as unpacked, io.TextIOWrapper(unpacked, encoding="utf-8", newline="") as text:
            for number, row in enumerate(csv.reader(text), start=1):
                if len(row) != columns:
                    raise UsageError(
                        f"line {number} of the inventory's file s3://{bucket}/{key} has {len(row)} columns "
                        f"where its manifest names {columns}"
                    )
                yield row
    except (gzip.BadGzipFile, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"the inventory's file s3://{bucket}/{key} is damaged after line {number}: {error}") from error


def _found(row: Mapping[str, str]) -> Found:
    old = row.get("IsLatest") == "false" or row.get("IsDeleteMarker") == "true"
    size = row.get("Size", "")
    return Found(
        key=unquote_plus(row["Key"]),  # the inventory encodes keys as a URL's query is
        etag=bare_etag(row.get("ETag")) or None,
        size=int(size) if size.isdecimal() else None,
        storage_class=row.get("StorageClass") or "STANDARD",
        passed_over="noncurrent" if old else None,
    )
