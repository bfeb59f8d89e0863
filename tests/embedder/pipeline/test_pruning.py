"""`--prune` deletes the vectors of images that are gone, and of no others."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from embedder import embed
from embedder.errors import ConfigurationError
from embedder.pipeline.pruning import prune
from embedder.pipeline.stopping import Stop
from embedder.sources import CompleteSource, Selection, open_source
from tests.embedder.pictures import jpeg, put
from tests.embedder.stand_in import PixelEncoder
from tests.embedder.stored import contents, fill, many, opened, stored
from tests.parts.s3 import S3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path / "images", "1.jpg", "cats/1.jpg", "cats/2.jpg", "odd 🐈%#?.jpg")
    return tmp_path / "images"


def run(source: Any, store: str, **options: Any) -> int:
    return embed(source, store, weights="random", prune=True, **options).pruned


def test_vectors_of_images_that_are_gone_are_deleted(encoder: PixelEncoder, folder: Path, store_name: str) -> None:
    assert run(folder, store_name) == 0
    (folder / "cats" / "2.jpg").unlink()
    (folder / "odd 🐈%#?.jpg").unlink()
    assert run(folder, store_name) == 2
    assert set(contents(store_name)) == {"1.jpg", "cats/1.jpg"}
    assert encoder.opened == 1


def test_without_the_option_nothing_is_deleted(encoder: PixelEncoder, folder: Path, store_name: str) -> None:
    run(folder, store_name)
    (folder / "1.jpg").unlink()
    assert embed(folder, store_name, weights="random").pruned == 0
    assert len(contents(store_name)) == 4
    assert encoder.opened == 1


def test_what_lies_elsewhere_is_kept(encoder: PixelEncoder, folder: Path, store_name: str) -> None:
    fingerprint = "resnet18/random/pre1/float32"
    beside = Path(f"{folder}-old") / "1.jpg"
    elsewhere = [
        stored("beside", source=beside.as_uri(), fingerprint=fingerprint),
        stored("bucket", source="s3://bucket/1.jpg", fingerprint=fingerprint),
        stored("unknown", source="", fingerprint=fingerprint),
    ]
    fill(store_name, elsewhere)
    (folder / "1.jpg").unlink()
    assert run(folder, store_name) == 0
    assert {"beside", "bucket", "unknown"} < set(contents(store_name))
    assert run(folder / "cats", store_name, image_id="uri") == 0
    assert encoder.opened == 2


def test_only_the_folder_that_was_named_is_looked_at(encoder: PixelEncoder, folder: Path, store_name: str) -> None:
    run(folder, store_name)
    (folder / "1.jpg").unlink()
    assert run(folder / "cats", store_name, image_id="uri") == 0
    assert "1.jpg" in contents(store_name)
    assert encoder.opened == 2


def test_other_suffixes_and_bad_images_delete_nothing(encoder: PixelEncoder, folder: Path, store_name: str) -> None:
    run(folder, store_name)
    (folder / "1.jpg").write_bytes(b"broken")
    put(folder, "new.png")
    assert run(folder, store_name, suffixes="png") == 0
    assert run(folder, store_name) == 0
    assert set(contents(store_name)) == {"1.jpg", "cats/1.jpg", "cats/2.jpg", "odd 🐈%#?.jpg", "new.png"}
    assert encoder.opened >= 2


def test_objects_that_are_gone(encoder: PixelEncoder, bucket: S3, store_name: str) -> None:
    bucket.put({f"images/{number}.jpg": jpeg(number) for number in range(3)} | {"images-old/9.jpg": jpeg(9)})
    run(bucket.uri("images"), store_name)
    run(bucket.uri("images-old/"), store_name)
    client = bucket.client()
    for key in ("images/1.jpg", "images-old/9.jpg"):
        client.delete_object(Bucket=bucket.bucket, Key=key)
    assert run(bucket.uri("images"), store_name) == 1
    assert set(contents(store_name)) == {"images/0.jpg", "images/2.jpg", "images-old/9.jpg"}
    assert encoder.opened == 2


def test_many_at_once(encoder: PixelEncoder, folder: Path, store_name: str) -> None:
    uri = folder.as_uri()
    gone = [stored(each.image_id, source=f"{uri}/gone/{each.image_id}.jpg") for each in many(330)]
    fill(store_name, gone)
    assert run(folder, store_name) == 330
    assert len(contents(store_name)) == 4
    assert encoder.opened == 1


def test_nothing_is_deleted_once_the_run_is_to_stop(folder: Path, store_name: str) -> None:
    fill(store_name, [stored("gone", source=f"{folder.as_uri()}/gone.jpg")])
    stop = Stop()
    stop.by_signal(15)
    source = open_source(str(folder), Selection(), stopping=threading.Event())
    assert isinstance(source, CompleteSource)
    with opened(store_name) as store:
        assert prune(source, store, stop) == 0
    assert set(contents(store_name)) == {"gone"}


def test_a_part_of_the_images_cannot_be_pruned(tmp_path: Path, encoder: PixelEncoder) -> None:
    put(tmp_path, "1.jpg")
    (tmp_path / "list.txt").write_text("1.jpg\n")
    with pytest.raises(ConfigurationError, match="--prune is not possible"):
        run(tmp_path / "list.txt", str(tmp_path / "v.db"))
    assert not (tmp_path / "v.db").exists()
    assert encoder.opened == 0
