"""A folder or a bucket that was moved or copied: nothing is embedded again, and vectors know where their images are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from embedder import embed
from tests.embedder.pictures import jpeg, put
from tests.embedder.stand_in import PixelEncoder
from tests.embedder.stored import contents
from tests.parts.s3 import S3


def test_a_folder_that_moved_is_followed(encoder: PixelEncoder, tmp_path: Path, store_name: str) -> None:
    put(tmp_path / "photos", "1.jpg", "more/2.jpg")
    before = embed(tmp_path / "photos", store_name, weights="random")
    (tmp_path / "photos").rename(tmp_path / "archive")
    report = embed(tmp_path / "archive", store_name, weights="random")
    assert (before.moved, report.skipped, report.moved, report.embedded, encoder.opened) == (0, 2, 2, 0, 1)
    found = contents(store_name)
    assert {each.source for each in found.values()} == {
        (tmp_path / "archive" / name).as_uri() for name in ("1.jpg", "more/2.jpg")
    }
    again = embed(tmp_path / "archive", store_name, weights="random")
    assert (again.skipped, again.moved) == (2, 0)


def test_a_touched_file_is_read_once_more_and_not_again(encoder: PixelEncoder, tmp_path: Path) -> None:
    put(tmp_path / "photos", "1.jpg")
    store = str(tmp_path / "v.db")
    embed(tmp_path / "photos", store, weights="random")
    os.utime(tmp_path / "photos" / "1.jpg", ns=(1, 1))
    report = embed(tmp_path / "photos", store, weights="random")
    assert (report.skipped, report.moved, encoder.opened) == (1, 0, 1)
    assert contents(store)["1.jpg"].modified == f"{(tmp_path / 'photos' / '1.jpg').stat().st_size}-1"


@pytest.mark.usefixtures("encoder", "table")
def test_a_bucket_that_was_copied_is_followed_and_another_image_is_a_collision(moto_bucket: S3) -> None:
    moto_bucket.put({"images/1.jpg": jpeg(1), "images/2.jpg": jpeg(2)})
    embed(moto_bucket.uri("images/"), "dynamodb://vectors", weights="random")
    other = S3(server="moto", endpoint=moto_bucket.endpoint, credentials=moto_bucket.credentials).create_bucket()
    other.put({"images/1.jpg": jpeg(1), "images/2.jpg": jpeg(3)})
    report = embed(other.uri("images/"), "dynamodb://vectors", weights="random")
    assert (report.skipped, report.moved, report.failed) == (1, 1, 1)
    assert report.failures_by_cause == {"check: Collision": 1}
    assert contents("dynamodb://vectors")["images/1.jpg"].source == other.uri("images/1.jpg")
