"""Pictures in memory: the vectors of a run, from whatever people have in hand."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from embedder import ConfigurationError, Embedder, ImageError, embed, read
from embedder.records import Pixels, Preprocessing, Vectors
from tests.embedder.stand_in import PixelEncoder
from tests.parts.s3 import S3


@pytest.fixture
def embedder(encoder: PixelEncoder) -> Iterator[Embedder]:
    """An Embedder whose model costs nothing."""
    with Embedder(weights="random", workers=2) as made:
        assert encoder.opened == 1
        yield made


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.jpg"))


def children() -> set[int]:
    return {each.pid for each in psutil.Process().children()}


@pytest.mark.parametrize(
    "engine", ["torch", pytest.param("openvino", marks=pytest.mark.slow), pytest.param("mnn", marks=pytest.mark.slow)]
)
def test_vectors_are_those_of_a_run_to_the_last_bit(
    photo_folder: Path, weights: Path, tmp_path: Path, engine: str
) -> None:
    report = embed(photo_folder, tmp_path / "v.db", weights=weights, engine=engine)
    ids, stored = read(tmp_path / "v.db")
    paths = [photo_folder / each for each in ids]
    with Embedder(weights=weights, engine=engine) as embedder:
        assert (embedder.fingerprint, embedder.dimension) == (report.fingerprint, 512)
        vectors = embedder([paths[0], *(path.read_bytes() for path in paths[1:])])
        assert embedder([]).shape == (0, 512)
    assert (str(vectors.dtype), vectors.shape) == ("float32", (12, 512))
    if engine == "mnn":  # which rounds differently for the last pictures of a batch, and for a few alone
        assert np.abs(vectors - stored).max() < 1e-3 * np.abs(stored).max()
    else:
        assert np.array_equal(vectors, stored)


def test_pixels_are_prepared_as_those_of_a_lossless_file_are(photo_folder: Path, embedder: Embedder) -> None:
    image = Image.open(files(photo_folder)[0])
    pixels = np.asarray(image)
    transparent = image.convert("RGBA")
    transparent.putalpha(Image.linear_gradient("L").resize(image.size))
    lying = image.copy()
    lying.getexif()[0x0112] = 6
    for given in (image, transparent, image.convert("L"), image.convert("P"), lying):
        file = io.BytesIO()
        given.save(file, "PNG", exif=given.getexif())
        assert np.array_equal(embedder(given), embedder(file.getvalue())), given.mode
    whole = embedder(image)
    assert whole.shape == (1, 512)
    assert np.array_equal(whole, embedder(pixels))
    assert np.array_equal(embedder([pixels[:, ::-1]]), embedder(Image.fromarray(pixels[:, ::-1])))
    assert np.array_equal(embedder(np.stack([pixels, pixels])), np.concatenate([whole, whole]))


def test_order_is_kept_over_many_batches_and_threads(photo_folder: Path, embedder: Embedder) -> None:
    paths = files(photo_folder)[:7]
    one_by_one = np.concatenate([embedder(str(path)) for path in paths])
    mixed: list[Any] = [each for path in paths for each in (path, path.read_bytes(), Image.open(path))]
    lazily = Image.open(paths[0])  # loaded by the first thread that needs it
    mixed += [lazily, lazily]
    with ThreadPoolExecutor(3) as pool:
        for made in pool.map(lambda _: embedder(mixed), range(3)):
            assert np.array_equal(made[0:21:3], one_by_one)
            assert np.array_equal(made[1:21:3], one_by_one)
            assert np.array_equal(made[21], made[2])


def test_what_cannot_be_decoded_raises_or_is_a_named_row_of_nan(photo_folder: Path, embedder: Embedder) -> None:
    good = files(photo_folder)[0]
    cut = Image.open(io.BytesIO(good.read_bytes()[:2000]))
    given: list[Any] = [good, b"not an image", photo_folder / "gone.jpg", None, cut, good.read_bytes(), b""]
    vectors, failures = embedder(given, errors="none")
    assert np.isnan(vectors).all(axis=1).tolist() == [False, True, True, True, True, False, True]
    assert np.array_equal(vectors[0], vectors[5])
    found = [each and (each.image_id, each.stage, each.error) for each in failures]
    assert found == [
        None,
        ("images[1]", "decode", "NotAnImage"),
        (str(photo_folder / "gone.jpg"), "fetch", "Unreadable"),
        ("images[3]", "decode", "Empty"),
        ("images[4]", "decode", "Corrupt"),
        None,
        ("images[6]", "decode", "Empty"),
    ]
    with pytest.raises(ImageError, match=r"images\[1\]: ") as raised:
        embedder([good, b"not an image"])
    assert raised.value.error == "NotAnImage"
    with pytest.raises(ImageError, match="the image: there is no pixel") as raised:
        embedder(np.zeros((0, 5, 3), np.uint8))
    assert raised.value.error == "Empty"
    assert embedder(good).shape == (1, 512), "a failure leaves the next call alone"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (np.zeros((3, 8, 8), np.float32), r"the image is an array of float32, \(3, 8, 8\); expected .* uint8"),
        ([b"", 7], r"images\[1\] is of the type int"),
        (7, "the image is of the type int"),
    ],
)
def test_what_is_no_image_is_refused_in_either_mode(embedder: Embedder, given: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        embedder(given)
    with pytest.raises(ConfigurationError, match=said):
        embedder(given, errors="none")
    with pytest.raises(ConfigurationError, match="expected 'raise' or 'none'"):
        embedder([], errors="ignore")  # type: ignore[call-overload]


def test_options_are_those_of_a_run_and_max_pixels_holds_for_pixels(encoder: PixelEncoder) -> None:
    with pytest.raises(ConfigurationError, match="no option 'dtype'; it has model, weights"):
        Embedder(dtype="float16")  # type: ignore[call-arg]
    with pytest.raises(ConfigurationError, match="precision: 'half' is not valid"):
        Embedder(precision="half")  # type: ignore[arg-type]
    with Embedder(weights="random", normalize=True, max_pixels=400) as embedder:
        assert embedder.fingerprint.endswith("/float32/normalized")
        noise = np.random.default_rng(0).integers(0, 256, (20, 21, 3), dtype=np.uint8)
        vectors, failures = embedder([noise[:, :20], noise], errors="none")
    assert np.linalg.norm(vectors[0]) == pytest.approx(1)
    assert [each and each.error for each in failures] == [None, "TooManyPixels"]
    assert encoder.opened == 1


def test_an_object_in_a_bucket(embedder: Embedder, moto_bucket: S3, photo_folder: Path) -> None:
    path = files(photo_folder)[0]
    moto_bucket.put({"cats/1.jpg": path.read_bytes()})
    uri = moto_bucket.uri("cats/1.jpg")
    assert np.array_equal(embedder(uri), embedder(path))
    _, failures = embedder(uri + "x", errors="none")
    assert failures[0] is not None
    assert failures[0].stage == "fetch"


@pytest.mark.usefixtures("encoder")
def test_closing_ends_its_processes_and_a_pickle_is_its_settings(photo_folder: Path) -> None:
    before = children()
    data = files(photo_folder)[0].read_bytes()
    embedder = Embedder(weights="random", workers=2)
    vectors = embedder([data] * 8)
    assert len(children() - before) == 2
    again = pickle.loads(pickle.dumps(embedder))
    assert np.array_equal(again([data] * 8), vectors)
    del again
    embedder.close()
    embedder.close()
    assert not children() - before
    assert "closed" in repr(embedder)
    with pytest.raises(ConfigurationError, match="this Embedder is closed"):
        embedder(data)


class Colour:
    """An encoder of one's own."""

    name = "colour"
    preprocessing = Preprocessing(resize=8, crop=8, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1))

    def encode(self, pixels: Pixels) -> Vectors:
        return np.where(pixels.max() > 250, np.nan, pixels.mean(axis=(1, 2)))


def test_an_encoder_of_ones_own_and_a_vector_that_is_none() -> None:
    with Embedder(encoder=Colour(), batch_size=1) as embedder:
        red = np.full((9, 9, 3), (200, 0, 0), np.uint8)
        assert embedder(red).tolist() == [[200, 0, 0]]
        vectors, failures = embedder([np.full_like(red, 255), red], errors="none")
    assert np.isnan(vectors).all(axis=1).tolist() == [True, False]
    assert failures[0] is not None
    assert (failures[0].stage, failures[0].error) == ("encode", "NotFinite")
