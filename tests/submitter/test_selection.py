from __future__ import annotations

import pytest

from submitter.manifest import Entry
from submitter.selection import DEFAULT_SUFFIXES, ListingTally, S3Object, select


def reason(key: str, size: int | None = 1, storage_class: str = "STANDARD", **more: str) -> str | None:
    tally = ListingTally()
    found = S3Object(key=key, etag="e", size=size, storage_class=storage_class, **more)
    list(select([found], DEFAULT_SUFFIXES, tally))
    assert tally.seen == 1
    return next(iter(tally.skipped), None)


@pytest.mark.parametrize("key", ["a/1.jpg", "1.JPG", "1.JpEg", "x.tar.png", "images/1.tif", "a b.AVIF", "é\n.gif"])
def test_images(key: str) -> None:
    assert reason(key) is None


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("notjpg", "suffix"),
        ("a.jpg.txt", "suffix"),
        ("a.jpg/readme", "suffix"),
        ("images/", "folder"),
        ("images/a.jpg/", "folder"),
        ("manifests/r/x.jpg", "manifests"),
        ("a/._1.jpg", "AppleDouble"),
        ("__MACOSX/a/1.jpg", "AppleDouble"),
        (".thumbnails/1.jpg", "hidden"),
        ("a/@eaDir/1.jpg/t.jpg", "hidden"),
        ("a/.DS_Store", "hidden"),
    ],
)
def test_not_images(key: str, why: str) -> None:
    assert reason(key, size=0) == why


def test_a_hidden_folder_that_is_named_is_read() -> None:
    keys = [".a/1.jpg", ".a/.2.jpg", "b/3.jpg", "b/.c/4.jpg"]
    tally = ListingTally()
    found = [S3Object(key=key, etag="e", size=1) for key in keys]
    assert [each.key for each in select(found, ("jpg",), tally, folders=(".a/", "b/"))] == [".a/1.jpg", "b/3.jpg"]
    assert tally.skipped == {"hidden": 2}


def test_an_empty_image_is_for_the_worker_to_name() -> None:
    assert reason("a.jpg", size=0) is None


def test_archives_are_left_out() -> None:
    assert reason("a.jpg", storage_class="GLACIER") == "archived"
    assert reason("a.jpg", storage_class="DEEP_ARCHIVE") == "archived"
    assert reason("a.jpg", storage_class="GLACIER_IR") is None


def test_a_source_may_know_better() -> None:
    assert reason("a.jpg", passed_over="noncurrent") == "noncurrent"


def test_the_tally() -> None:
    tally = ListingTally()
    found = [
        S3Object(key="1.jpg", etag="e", size=5),
        S3Object(key="2.jpg", etag=None, size=None, storage_class="STANDARD_IA"),
        S3Object(key="3.txt", etag="e", size=7),
    ]
    assert list(select(found, ("jpg",), tally)) == [
        Entry(key="1.jpg", etag="e", size=5),
        Entry(key="2.jpg", etag=None, size=None),
    ]
    assert (tally.images, tally.bytes, tally.seen) == (2, 5, 3)
    assert tally.skipped == {"suffix": 1}
    assert tally.class_bytes == {"STANDARD": 5, "STANDARD_IA": 0}
