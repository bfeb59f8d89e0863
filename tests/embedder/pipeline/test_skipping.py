"""Which stored vectors stand for an image, and how they follow it to another place."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from embedder import ConfigurationError, embed
from embedder.errors import ImageError
from embedder.pipeline.skipping import Skipping, Todo
from embedder.records import Reference
from tests.embedder.pictures import jpeg, put
from tests.embedder.stand_in import PixelEncoder
from tests.embedder.stored import FINGERPRINT, contents, stored
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


OTHER = "resnet18/other/pre1/float32"
KEPT = stored("1.jpg", source="file:///a/1.jpg", etag="e1", modified="10-1")


def listed(uri: str = "file:///a/1.jpg", etag: str | None = "e1", modified: str | None = "10-1") -> Reference:
    return Reference(image_id="1.jpg", uri=uri, etag=etag, modified=modified)


@pytest.mark.parametrize(
    ("reference", "done"),
    [
        (listed(), True),
        (listed(modified="11-2"), True),  # the content's hash is what counts
        (listed("file:///b/1.jpg"), True),
        (listed(etag="e2"), False),
        (listed(etag=None), True),  # not read yet: size and modification time stand for its content
        (listed(etag=None, modified="11-2"), False),
        (listed("file:///b/1.jpg", etag=None), False),
        (listed(etag=None, modified=None), False),
    ],
)
def test_a_vector_stands_for_the_same_content(reference: Reference, done: bool) -> None:
    skipping = Skipping(store="v.db", fingerprint=FINGERPRINT, allow_mixed=False)
    assert skipping.is_done(reference, KEPT) is done
    nameless = stored("1.jpg", source=KEPT.source, etag="e1", modified=None)
    assert skipping.is_done(listed(etag=None, modified=None), nameless) is False


@pytest.mark.parametrize("etag", ["e1", "e2"])
def test_a_vector_of_another_model_is_refused_or_replaced(etag: str) -> None:
    strict = Skipping(store="v.db", fingerprint=OTHER, allow_mixed=False)
    with pytest.raises(ConfigurationError, match=f"v.db .*{FINGERPRINT}.*{OTHER}"):
        strict.is_done(listed(etag=etag), KEPT)
    with pytest.raises(ConfigurationError, match="an unknown model"):
        strict.refuse_mixture(stored("1.jpg", fingerprint=""))
    assert Skipping(store="v.db", fingerprint=OTHER, allow_mixed=True).is_done(listed(etag=etag), KEPT) is False


def test_another_image_with_the_same_id_is_a_collision() -> None:
    skipping = Skipping(store="v.db", fingerprint=FINGERPRINT, allow_mixed=True)
    with pytest.raises(ImageError, match=r"file:///b/1.jpg .*file:///a/1.jpg") as raised:
        skipping.is_done(listed("file:///b/1.jpg", etag="e2"), KEPT)
    assert raised.value.error == "Collision"
    assert not skipping.is_done(listed("file:///b/1.jpg", etag="e2"), stored("1.jpg", source="", etag="e1"))


def test_a_change_of_place_or_time_is_seen() -> None:
    def changes(reference: Reference) -> tuple[bool, bool]:
        todo = Todo(reference, KEPT)
        return todo.has_moved, todo.has_changed_place

    assert changes(listed()) == (False, False)
    assert changes(listed(modified="10-2")) == (False, True)
    assert changes(listed("file:///b/1.jpg")) == (True, True)
    new = Todo(listed(), None)
    assert (new.has_moved, new.has_changed_place) == (False, False)
