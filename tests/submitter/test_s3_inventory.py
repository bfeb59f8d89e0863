from __future__ import annotations

import csv
import gzip
import io
from typing import Any
from urllib.parse import quote_plus

import pytest

from submitter.deadline import Deadline
from submitter.errors import OutOfTimeError, UsageError
from submitter.handler import handler
from submitter.manifest import Entry
from submitter.s3_inventory import read_inventory
from tests.submitter.cloud import Cloud
from tests.submitter.lambda_events import LambdaContext

SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, ETag, StorageClass"
MANIFEST = "inventory/2026-11-01T00-00Z/manifest.json"


def row(key: str, *, latest: bool = True, deleted: bool = False, storage: str = "STANDARD") -> list[str]:
    flags = [str(latest).lower(), str(deleted).lower()]
    size, etag = ("", "") if deleted else ("7", "abc")
    return ["b", quote_plus(key, safe="/"), "v", *flags, size, etag, storage]


def put_inventory(cloud: Cloud, *files: list[list[str]], schema: str = SCHEMA, **changes: Any) -> str:
    """Write an inventory as S3 does and return its address."""
    names = []
    for number, rows in enumerate(files):
        text = io.StringIO()
        csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
        names.append(f"inventory/data/{number}.csv.gz")
        cloud.put(names[-1], body=gzip.compress(text.getvalue().encode()))
    manifest = {
        "sourceBucket": cloud.targets.bucket,
        "destinationBucket": f"arn:aws:s3:::{cloud.targets.bucket}",
        "version": "2016-11-30",
        "creationTimestamp": "1514944800000",
        "fileFormat": "CSV",
        "fileSchema": schema,
        "files": [{"key": name, "size": 1, "MD5checksum": "f11166069f1990abeb9c97ace9cdfabc"} for name in names],
    }
    cloud.put_json(MANIFEST, {**manifest, **changes})
    return f"s3://{cloud.targets.bucket}/{MANIFEST}"


def test_an_inventory_instead_of_a_listing(submitter_cloud: Cloud) -> None:
    uri = put_inventory(
        submitter_cloud,
        [row("images/a b+c,\"é'.jpg"), row("images/old.jpg", latest=False), row("images/", latest=True)],
        [row("images/gone.jpg", deleted=True), row("images/cold.jpg", storage="DEEP_ARCHIVE"), row("z.png")],
    )
    result = handler({"Inventory": uri}, LambdaContext())
    ((first, second),) = submitter_cloud.entries(result["run_uri"])
    assert first == Entry(key="images/a b+c,\"é'.jpg", etag="abc", size=7)
    assert second.key == "z.png"
    assert result["skipped"] == {"noncurrent": 2, "suffix": 1, "archived": 1}
    assert submitter_cloud.run(result["run_uri"]).source == uri


def test_paths_narrow_an_inventory(submitter_cloud: Cloud) -> None:
    uri = put_inventory(submitter_cloud, [row("images/1.jpg"), row("images-old/2.jpg"), row("dogs/3.jpg")])
    result = handler({"Inventory": uri, "Paths": ["images", "dogs"]}, LambdaContext())
    assert [entry.key for entry in submitter_cloud.entries(result["run_uri"])[0]] == ["images/1.jpg", "dogs/3.jpg"]


def test_an_inventory_of_keys_alone(submitter_cloud: Cloud) -> None:
    uri = put_inventory(submitter_cloud, [["b", "1.jpg"]], schema="Bucket, Key")
    result = handler({"Inventory": uri}, LambdaContext())
    assert submitter_cloud.entries(result["run_uri"]) == [[Entry(key="1.jpg", etag=None, size=None)]]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"fileFormat": "ORC"}, "is in ORC, and only CSV"),
        ({"sourceBucket": "another"}, "is of the bucket another"),
        ({"fileSchema": "Bucket, Size"}, "no column Key"),
        ({"fileSchema": "Bucket, Key"}, "has 8 columns, but its manifest names 2"),
        ({"files": [{}]}, "not the manifest.json of an S3 Inventory"),
        ({"files": [{"key": MANIFEST}]}, "damaged after line 0"),
    ],
)
def test_what_cannot_be_read_is_said(submitter_cloud: Cloud, changes: dict[str, Any], complaint: str) -> None:
    uri = put_inventory(submitter_cloud, [row("1.jpg")], **changes)
    with pytest.raises(UsageError, match=complaint):
        handler({"Inventory": uri}, LambdaContext())
    assert not submitter_cloud.keys("manifests/")


def test_a_file_that_ends_too_early(submitter_cloud: Cloud) -> None:
    uri = put_inventory(submitter_cloud, [row(f"{number}.jpg") for number in range(5000)])
    key = "inventory/data/0.csv.gz"
    submitter_cloud.put(key, body=submitter_cloud.get(key)[:-100])
    with pytest.raises(UsageError, match="is damaged after line"):
        handler({"Inventory": uri}, LambdaContext())
    assert not submitter_cloud.jobs()


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [("s3://bucket/folder/", "expected s3://BUCKET/…/manifest.json"), ("s3://{}/no.json", "there is no inventory")],
)
def test_an_address_that_is_none(submitter_cloud: Cloud, uri: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        handler({"Inventory": uri.format(submitter_cloud.targets.bucket)}, LambdaContext())


def test_time_runs_out(submitter_cloud: Cloud) -> None:
    uri = put_inventory(submitter_cloud, [row(f"{number}.jpg") for number in range(2000)])
    rows = read_inventory(
        submitter_cloud.services.s3,
        uri,
        bucket=submitter_cloud.targets.bucket,
        folders=[""],
        deadline=Deadline(remaining_ms=lambda: 1),
    )
    with pytest.raises(OutOfTimeError, match="after listing 1,000 objects"):
        list(rows)
