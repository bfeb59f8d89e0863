"""Small pictures of stored images: upright, square, and a reason where there is none."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from embedder.errors import ConfigurationError
from embedder.pages.thumbnails import Thumbnail, locate, thumbnails
from embedder.records import Reference, VectorInfo
from embedder.sources.folder import file_uri
from tests.embedder.pictures import encoded, picture
from tests.parts.s3 import S3

ORIENTATION = 0x0112
RED, BLUE = (254, 0, 0), (0, 0, 254)


def info(image_id: str, source: str = "") -> VectorInfo:
    return VectorInfo(
        image_id=image_id,
        data_type="float32",
        dimension=512,
        created="2026-11-05T10:00:00+00:00",
        fingerprint="resnet18/random/pre1/float32",
        etag="",
        source=source,
        modified=None,
    )


def made(folder: Path, *names: str, side: int = 16) -> dict[str, Thumbnail]:
    """Thumbnails of files in a folder, by id."""
    references = locate([info(name) for name in names], str(folder))
    return {each.image_id: each for each in thumbnails(references, side)}


def pixels(found: Thumbnail) -> np.ndarray:
    assert found.pixels is not None, found.reason
    assert found.reason == ""
    return found.pixels


def two_colours() -> Image.Image:
    """Red on the left, blue on the right; 40 × 40."""
    image = Image.new("RGB", (40, 40), RED)
    image.paste(BLUE, (20, 0, 40, 40))
    return image


@pytest.mark.parametrize("side", [4, 16, 160])
def test_the_middle_of_the_image_in_a_square(tmp_path: Path, side: int) -> None:
    image = Image.new("RGB", (300, 100), RED)
    image.paste(BLUE, (100, 0, 200, 100))
    image.save(tmp_path / "wide.png")
    image.rotate(90, expand=True).save(tmp_path / "high.png")
    found = made(tmp_path, "wide.png", "high.png", side=side)
    for each in found.values():
        assert pixels(each).shape == (side, side, 3)
        assert pixels(each).dtype == np.uint8
        inner = pixels(each)[side // 4 : side - side // 4, side // 4 : side - side // 4]
        assert np.abs(inner.astype(int) - BLUE).max() <= 1


@pytest.mark.parametrize(
    ("orientation", "blue"), [(1, "right"), (2, "left"), (3, "left"), (4, "right"), (6, "bottom"), (8, "top")]
)
def test_a_turned_photograph_is_upright(tmp_path: Path, orientation: int, blue: str) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    (tmp_path / "turned.jpg").write_bytes(encoded(two_colours(), "JPEG", exif=exif, quality=95, subsampling=0))
    shown = pixels(made(tmp_path, "turned.jpg")["turned.jpg"]).astype(int)
    sides = {"left": shown[:, :6], "right": shown[:, 10:], "top": shown[:6], "bottom": shown[10:]}
    opposite = {"left": "right", "right": "left", "top": "bottom", "bottom": "top"}[blue]
    assert np.abs(sides[blue] - BLUE).max() < 12
    assert np.abs(sides[opposite] - RED).max() < 12


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (3, 2)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    Image.new("RGB", size, BLUE).save(tmp_path / "odd.png")
    shown = pixels(made(tmp_path, "odd.png")["odd.png"])
    assert shown.shape == (16, 16, 3)
    assert np.array_equal(shown, np.broadcast_to(np.array(BLUE, np.uint8), (16, 16, 3)))


def test_of_a_long_image_the_middle_is_shown(tmp_path: Path) -> None:
    image = Image.new("RGB", (1, 20_000), RED)
    image.paste(BLUE, (0, 9_990, 1, 10_010))
    image.save(tmp_path / "long.png")
    shown = pixels(made(tmp_path, "long.png")["long.png"])
    assert np.abs(shown.astype(int) - BLUE).max() <= 1


def test_without_a_picture_there_is_a_reason(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "bad.png").write_bytes(b"not an image")
    (tmp_path / "folder.png").mkdir()
    (tmp_path.parent / "outside.png").write_bytes(encoded(picture(), "PNG"))
    names = ["good.png", "bad.png", "gone.png", "folder.png", "../outside.png", "a/../../outside.png", "\0", "x" * 300]
    found = made(tmp_path, *names)
    assert set(found) == set(names)
    assert pixels(found.pop("good.png")).shape == (16, 16, 3)
    assert all(each.pixels is None for each in found.values())
    reasons = {name: each.reason for name, each in found.items()}
    assert reasons["bad.png"].startswith("not an image")
    assert "No such file" in reasons["gone.png"]
    assert "Is a directory" in reasons["folder.png"]
    assert "too long" in reasons["x" * 300]
    for name in ("../outside.png", "a/../../outside.png", "\0"):
        assert reasons[name] == "its id is not a path below a folder"


@pytest.mark.parametrize(
    ("size", "shape"), [((300, 200), (64, 96)), ((200, 300), (96, 64)), ((90, 90), (64, 64)), ((900, 100), (64, 114))]
)
def test_a_preview_shows_the_whole_image(tmp_path: Path, size: tuple[int, int], shape: tuple[int, int]) -> None:
    Image.new("RGB", size, BLUE).save(tmp_path / "blue.png")
    (found,) = thumbnails(locate([info("blue.png")], str(tmp_path)), 16, 64)
    assert found.preview is not None
    assert found.preview.shape == (*shape, 3), "no wider than 16:9"
    assert np.abs(found.preview.astype(int) - BLUE).max() <= 1, "nothing of a border"
    assert np.array_equal(pixels(found), np.broadcast_to(found.preview[0, 0], (16, 16, 3)))


def test_what_is_known_of_the_file_comes_with_it(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = encoded(picture(size=(50, 30)), "JPEG", exif=exif)
    (tmp_path / "turned.jpg").write_bytes(data)
    (tmp_path / "broken.jpg").write_bytes(b"nothing")
    for name in ("turned.jpg", "broken.jpg"):
        os.utime(tmp_path / name, (1.7e9, 1.7e9))
    found = made(tmp_path, "turned.jpg", "broken.jpg")
    turned, broken = found["turned.jpg"], found["broken.jpg"]
    assert (turned.width, turned.height, turned.bytes, turned.format) == (30, 50, len(data), "JPEG")
    assert (broken.width, broken.height, broken.bytes, broken.format) == (0, 0, 7, "")
    assert turned.modified == broken.modified == "2023-11-14"


def test_no_images_at_all() -> None:
    assert list(thumbnails([], 16)) == []


def test_an_id_that_begins_with_a_slash_stays_below_the_folder(tmp_path: Path) -> None:
    """As the keys of some buckets do; copied to a folder they lie in it."""
    outside = tmp_path.parent / f"{tmp_path.name}.png"
    outside.write_bytes(encoded(picture(), "PNG"))
    (tmp_path / "key.png").write_bytes(encoded(picture(), "PNG"))
    found = made(tmp_path, "/key.png", str(outside), f"/../{outside.name}")
    assert pixels(found["/key.png"]).shape == (16, 16, 3)
    assert found[str(outside)].pixels is None
    assert found[f"/../{outside.name}"].pixels is None


def test_where_an_image_lies() -> None:
    stored = [info("a b.jpg", "file:///p/a%20b.jpg"), info("c/d.jpg", "s3://bucket/c/d.jpg"), info("e.jpg", "gone")]
    assert [each.uri for each in locate(stored, None)] == [
        "file:///p/a%20b.jpg",
        "s3://bucket/c/d.jpg",
        file_uri(Path("e.jpg")),
    ]
    for root in ("s3://other/x", "s3://other/x/"):
        assert [each.uri for each in locate(stored, root)] == [
            "s3://other/x/a b.jpg",
            "s3://other/x/c/d.jpg",
            "s3://other/x/e.jpg",
        ]
    assert [each.image_id for each in locate(stored, None)] == ["a b.jpg", "c/d.jpg", "e.jpg"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"--images .*nowhere: there is no such folder"):
        locate([info("a")], str(tmp_path / "nowhere"))


def test_from_a_bucket_and_a_folder_at_once(bucket: S3, tmp_path: Path) -> None:
    (tmp_path / "local.png").write_bytes(encoded(picture(1), "PNG"))
    bucket.put({"far.png": encoded(picture(2), "PNG")})
    references = [
        Reference(image_id="local.png", uri=file_uri(tmp_path / "local.png")),
        Reference(image_id="far.png", uri=bucket.uri("far.png")),
        Reference(image_id="gone.png", uri=bucket.uri("gone.png")),
    ]
    found = {each.image_id: each for each in thumbnails(references, 16)}
    assert not np.array_equal(pixels(found["local.png"]), pixels(found["far.png"]))
    assert found["gone.png"].pixels is None
    assert found["gone.png"].reason != ""
