"""Every image accounted for: embedded, skipped or failed, under its own id, in one run and over many."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image

from embedder import Report, embed, read
from embedder.decoding.decoder import Decoder
from embedder.errors import ConfigurationError
from embedder.models.catalog import IMAGENET_PRESET
from tests.embedder.decoding.test_decoder import bomb
from tests.embedder.pictures import encoded, jpeg, picture, put
from tests.embedder.stand_in import PixelEncoder
from tests.embedder.stored import contents, fill, stored
from tests.parts.s3 import S3

RANDOM = "resnet18/random/pre1/float32"


def run(source: Path | str, store: Path | str, **options: Any) -> Report:
    """Embed with random weights; the books have to balance, whatever happened."""
    report = embed(source, store, **{"weights": "random", **options})
    assert report.images == report.embedded + report.skipped + report.failed
    return report


def counts(report: Report) -> tuple[int, int, int]:
    return report.embedded, report.skipped, report.failed


def failures(path: Path) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert len({line["image_id"] for line in lines}) == len(lines)
    return {line["image_id"]: line for line in lines}


def vector_of(path: Path) -> np.ndarray:
    """What the stand-in for the model makes of a file."""
    pixels = Decoder(IMAGENET_PRESET, max_pixels=10**9).decode(path.read_bytes()).pixels
    return PixelEncoder().encode(pixels[None])[0]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    put(path, "1.jpg", "2.jpg", "cats/1.jpg", "dogs/1.jpg", "dogs/2.jpg")
    return path


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "vectors.db"


class TestCounts:
    def test_every_id_has_its_own_images_vector(self, encoder: PixelEncoder, store_name: str, tmp_path: Path) -> None:
        folder = tmp_path / "many"
        paths = put(folder, *(f"{number % 7}/{number:03d}.jpg" for number in range(90)))
        report = run(folder, store_name, batch_size=7, workers=3)
        assert counts(report) == (90, 0, 0)
        ids, vectors = read(store_name)
        assert ids == sorted(str(path.relative_to(folder)) for path in paths)
        for image_id, vector in zip(ids, vectors, strict=True):
            assert np.allclose(vector, vector_of(folder / image_id), rtol=1e-5), image_id
        assert max(encoder.batches) == 7
        assert sum(encoder.batches) == 90
        assert encoder.opened == 1

    @pytest.mark.parametrize("cores", [1, 2])
    @pytest.mark.usefixtures("encoder")
    def test_a_run_keeps_to_its_share_of_the_cores(
        self, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cores: int
    ) -> None:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(4)))
        put(tmp_path / "many", *(f"{number}.jpg" for number in range(30)))
        others = len(psutil.Process().children())
        children: list[int] = []
        report = run(
            tmp_path / "many",
            store,
            cores=cores,
            progress=lambda *_: children.append(len(psutil.Process().children())),
        )
        assert counts(report) == (30, 0, 0)
        assert max(children) - others == cores

    def test_what_is_stored_describes_the_image(self, folder: Path, store_name: str, encoder: PixelEncoder) -> None:
        run(folder, store_name)
        assert encoder.opened == 1
        found = contents(store_name)["cats/1.jpg"]
        assert (found.data_type, found.dimension, found.fingerprint) == ("float32", 512, RANDOM)
        assert found.source == (folder / "cats" / "1.jpg").as_uri()
        assert len(found.vector) == 2048
        assert found.created.endswith("+00:00")
        assert len(found.etag) == 32

    def test_the_report_says_what_happened(self, folder: Path, store: Path, encoder: PixelEncoder) -> None:
        (folder / "notes.txt").write_text("x")
        (folder / "photo.heic").write_bytes(b"x")
        (folder / "bad.jpg").write_bytes(b"x")
        report = run(folder, store)
        found = report.as_json()
        names = "images embedded skipped failed ignored seconds images_per_second seconds_by_stage model fingerprint"
        assert set(found) >= {*names.split(), *["dimension", "dtype", "device", "engine", "store", "exit_code"]}
        assert counts(report) == (5, 0, 1)
        assert found["ignored"] == {".txt": 1, ".heic": 1}
        assert set(found["seconds_by_stage"]) >= {"fetch", "decode", "encode", "write"}
        assert (found["model"], found["fingerprint"], found["dimension"]) == ("resnet18", RANDOM, 512)
        assert (found["dtype"], found["device"], found["engine"]) == ("float32", encoder.device, encoder.engine)
        assert (found["store"], found["exit_code"]) == (str(store), 0)
        assert found["images_per_second"] > 0
        assert json.loads(json.dumps(found)) == found
        assert "bad.jpg" in report.summary()

    def test_the_largest_ids_are_failures_and_not_errors(
        self, encoder: PixelEncoder, store_name: str, tmp_path: Path
    ) -> None:
        deep = tmp_path / "deep" / Path(*["d" * 200] * 11)
        put(deep, "a.jpg")
        put(tmp_path / "deep", "b.jpg")
        report = run(tmp_path / "deep", store_name, failures=tmp_path / "f.jsonl")
        if store_name.startswith("dynamodb"):
            assert counts(report) == (1, 0, 1)
            (line,) = failures(tmp_path / "f.jsonl").values()
            assert (line["stage"], line["error"]) == ("check", "IdTooLong")
        else:
            assert counts(report) == (2, 0, 0)
        assert encoder.opened == 1

    def test_a_source_without_images_is_refused(self, store: Path, tmp_path: Path, encoder: PixelEncoder) -> None:
        (tmp_path / "empty" / "sub").mkdir(parents=True)
        with pytest.raises(ConfigurationError, match="there is no image in"):
            run(tmp_path / "empty", store)
        (tmp_path / "empty" / "photo.heic").write_bytes(b"x")
        with pytest.raises(ConfigurationError, match=r"ignored: 1 \.heic; .*--suffixes jpg,.*,avif,heic$"):
            run(tmp_path / "empty", store)
        assert not store.exists()
        assert encoder.opened == 0


class TestFailures:
    def test_bad_images_are_named_with_stage_and_reason(self, encoder: PixelEncoder, folder: Path, store: Path) -> None:
        whole = jpeg(9, (300, 200))
        bad = {
            "empty.jpg": b"",
            "truncated.jpg": whole[: len(whole) // 2],
            "page.png": b"<!DOCTYPE html><html>not found</html>",
            "text.jpg": b"hello",
            "bomb.png": bomb(30_000, 30_000),
            "lab.tif": encoded(picture().convert("LAB"), "TIFF"),
            "line\nbreak.jpg": b"",
        }
        for name, data in bad.items():
            (folder / name).write_bytes(data)
        os.mkfifo(folder / "pipe.jpg")
        (folder / "broken.jpg").symlink_to(folder / "nowhere")
        path = folder.parent / "failures.jsonl"
        report = run(folder, store, failures=path)
        assert counts(report) == (5, 0, 9)
        assert report.exit_code == 0
        found = failures(path)
        assert {name: (line["stage"], line["error"]) for name, line in found.items()} == {
            "empty.jpg": ("decode", "Empty"),
            "truncated.jpg": ("decode", "Corrupt"),
            "page.png": ("decode", "NotAnImage"),
            "text.jpg": ("decode", "NotAnImage"),
            "bomb.png": ("decode", "TooManyPixels"),
            "lab.tif": ("decode", "Unsupported"),
            "line\nbreak.jpg": ("decode", "Empty"),
            "pipe.jpg": ("list", "NotAFile"),
            "broken.jpg": ("list", "Unreadable"),
        }
        assert all(line["message"] for line in found.values())
        assert found["text.jpg"]["etag"] == "5d41402abc4b2a76b9719d911017c592"
        assert set(contents(str(store))) == {"1.jpg", "2.jpg", "cats/1.jpg", "dogs/1.jpg", "dogs/2.jpg"}
        assert sum(report.failures_by_cause.values()) == 9
        assert encoder.opened == 1

    def test_a_failed_image_is_tried_again_by_the_next_run(
        self, encoder: PixelEncoder, folder: Path, store: Path
    ) -> None:
        (folder / "bad.jpg").write_bytes(b"x")
        assert counts(run(folder, store)) == (5, 0, 1)
        assert counts(run(folder, store)) == (0, 5, 1)
        (folder / "bad.jpg").write_bytes(jpeg(77))
        assert counts(run(folder, store)) == (1, 5, 0)
        assert encoder.opened >= 2

    def test_an_image_that_turns_bad_keeps_no_vector_of_the_new_content(
        self, encoder: PixelEncoder, folder: Path, store: Path
    ) -> None:
        run(folder, store)
        before = contents(str(store))["1.jpg"]
        (folder / "1.jpg").write_bytes(b"broken")
        assert counts(run(folder, store)) == (0, 4, 1)
        assert contents(str(store))["1.jpg"] == before
        assert encoder.opened >= 1

    def test_the_failures_file_is_that_of_the_last_run(self, encoder: PixelEncoder, folder: Path, store: Path) -> None:
        (folder / "bad.jpg").write_bytes(b"x")
        path = folder.parent / "failures.jsonl"
        run(folder, store, failures=path)
        assert set(failures(path)) == {"bad.jpg"}
        (folder / "bad.jpg").unlink()
        run(folder, store, failures=path)
        assert path.read_text() == ""
        assert sorted(each.name for each in folder.parent.iterdir()) == ["failures.jsonl", "images", "vectors.db"]
        assert encoder.opened == 1

    def test_numbers_that_half_precision_cannot_hold_are_failures(
        self, encoder: PixelEncoder, folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plain = PixelEncoder.encode

        def encode(self: PixelEncoder, pixels: Any) -> Any:
            vectors = plain(self, pixels)
            vectors[:, 3] = [1e6 if each.mean() > 140 else 1.0 for each in pixels]
            return vectors

        monkeypatch.setattr(PixelEncoder, "encode", encode)
        (folder / "bright.png").write_bytes(encoded(Image.new("RGB", (30, 30), "white"), "PNG"))
        dark = folder / "dark.png"
        dark.write_bytes(encoded(Image.new("RGB", (30, 30), "black"), "PNG"))
        path = folder.parent / "f.jsonl"
        report = run(folder, store, dtype="float16", failures=path)
        assert report.failed >= 1
        assert failures(path)["bright.png"]["stage"] == "encode"
        assert failures(path)["bright.png"]["error"] == "NotFinite"
        ids, vectors = read(str(store))
        assert "bright.png" not in ids
        assert "dark.png" in ids
        assert np.isfinite(vectors).all()
        assert encoder.opened == 1


class TestAgain:
    def test_a_second_run_skips_all_and_loads_no_model(
        self, encoder: PixelEncoder, folder: Path, store_name: str
    ) -> None:
        run(folder, store_name)
        before = contents(store_name)
        report = run(folder, store_name)
        assert counts(report) == (0, 5, 0)
        assert (encoder.opened, report.device, report.engine) == (1, None, None)
        assert contents(store_name) == before

    def test_what_is_new_or_changed_is_embedded(self, encoder: PixelEncoder, folder: Path, store_name: str) -> None:
        run(folder, store_name)
        put(folder, "new.jpg", first_seed=50)
        put(folder, "1.jpg", first_seed=60)
        assert counts(run(folder, store_name)) == (2, 4, 0)
        ids, vectors = read(store_name, ["1.jpg", "new.jpg"])
        for image_id, vector in zip(ids, vectors, strict=True):
            assert np.allclose(vector, vector_of(folder / image_id), rtol=1e-5)
        assert counts(run(folder, store_name)) == (0, 6, 0)
        assert encoder.opened == 2

    def test_a_file_that_was_only_touched_is_skipped(self, encoder: PixelEncoder, folder: Path, store: Path) -> None:
        run(folder, store)
        os.utime(folder / "1.jpg")
        assert counts(run(folder, store)) == (0, 5, 0)
        assert counts(run(folder, store)) == (0, 5, 0)
        assert encoder.batches == [4, 1]

    def test_an_unchanged_file_is_not_read(self, encoder: PixelEncoder, folder: Path, store: Path) -> None:
        run(folder, store)
        status = (folder / "1.jpg").stat()
        (folder / "1.jpg").write_bytes(bytes(status.st_size))
        os.utime(folder / "1.jpg", ns=(status.st_atime_ns, status.st_mtime_ns))
        assert counts(run(folder, store)) == (0, 5, 0)
        assert encoder.opened == 1

    def test_recompute_does_all(self, encoder: PixelEncoder, folder: Path, store: Path) -> None:
        run(folder, store)
        assert counts(run(folder, store, recompute=True)) == (5, 0, 0)
        assert len(contents(str(store))) == 5
        assert encoder.opened == 2

    def test_a_folder_may_be_named_in_another_way(
        self, encoder: PixelEncoder, folder: Path, store: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(folder, store)
        monkeypatch.chdir(folder)
        assert counts(run(".", store)) == (0, 5, 0)
        assert counts(run("../images/", store)) == (0, 5, 0)
        assert encoder.opened == 1

    def test_objects_are_skipped_by_their_etag(self, encoder: PixelEncoder, bucket: S3, store_name: str) -> None:
        bucket.put({f"images/{number}.jpg": jpeg(number) for number in range(5)})
        assert counts(run(bucket.uri("images/"), store_name)) == (5, 0, 0)
        assert counts(run(bucket.uri("images"), store_name)) == (0, 5, 0)
        bucket.put({"images/3.jpg": jpeg(33)})
        assert counts(run(bucket.uri("images"), store_name)) == (1, 4, 0)
        found = contents(store_name)["images/3.jpg"]
        assert found.source == bucket.uri("images/3.jpg")
        assert encoder.opened == 2


class TestCollisions:
    @pytest.fixture
    def other(self, tmp_path: Path) -> Path:
        path = tmp_path / "other"
        put(path, "1.jpg", "only-here.jpg", first_seed=500)
        return path

    def test_another_image_of_the_same_name_is_a_failure_that_names_both(
        self, encoder: PixelEncoder, folder: Path, other: Path, store_name: str, tmp_path: Path
    ) -> None:
        run(folder, store_name)
        before = contents(store_name)["1.jpg"]
        report = run(other, store_name, failures=tmp_path / "f.jsonl")
        assert counts(report) == (1, 0, 1)
        (line,) = failures(tmp_path / "f.jsonl").values()
        assert (line["image_id"], line["error"]) == ("1.jpg", "Collision")
        assert before.source in line["message"]
        assert (other / "1.jpg").as_uri() in line["message"]
        assert contents(store_name)["1.jpg"] == before
        assert encoder.opened == 2

    def test_recompute_replaces_it(self, encoder: PixelEncoder, folder: Path, other: Path, store: Path) -> None:
        run(folder, store)
        assert counts(run(other, store, recompute=True)) == (2, 0, 0)
        assert contents(str(store))["1.jpg"].source == (other / "1.jpg").as_uri()
        assert encoder.opened == 2

    def test_the_same_content_from_elsewhere_is_skipped(
        self, encoder: PixelEncoder, folder: Path, store_name: str, tmp_path: Path
    ) -> None:
        run(folder, store_name)
        shutil.copytree(folder, tmp_path / "copy")
        assert counts(run(tmp_path / "copy", store_name)) == (0, 5, 0)
        assert sum(encoder.batches) == 5

    def test_uris_never_collide(self, encoder: PixelEncoder, folder: Path, other: Path, store: Path) -> None:
        run(folder, store, image_id="uri")
        assert counts(run(other, store, image_id="uri")) == (2, 0, 0)
        assert len(contents(str(store))) == 7
        assert encoder.opened == 2

    def test_two_buckets_never_overwrite_each_other(
        self, encoder: PixelEncoder, moto_bucket: S3, store: Path, tmp_path: Path
    ) -> None:
        second = S3(server="moto", endpoint=moto_bucket.endpoint, credentials=moto_bucket.credentials).create_bucket()
        moto_bucket.put({"i/1.jpg": jpeg(1), "i/2.jpg": jpeg(2)})
        second.put({"i/1.jpg": jpeg(3), "i/2.jpg": jpeg(2)})
        run(moto_bucket.uri("i/"), store)
        report = run(second.uri("i/"), store, failures=tmp_path / "f.jsonl")
        assert counts(report) == (0, 1, 1)
        message = failures(tmp_path / "f.jsonl")["i/1.jpg"]["message"]
        assert moto_bucket.uri("i/1.jpg") in message
        assert second.uri("i/1.jpg") in message
        assert encoder.opened == 1

    def test_stems_that_collide_stop_the_run_before_it_begins(
        self, encoder: PixelEncoder, folder: Path, store: Path
    ) -> None:
        with pytest.raises(ConfigurationError, match="--image-id stem"):
            run(folder, store, image_id="stem")
        assert not store.exists()
        assert encoder.opened == 0

    def test_a_vector_of_unknown_origin_is_replaced(self, encoder: PixelEncoder, folder: Path, store: Path) -> None:
        fill(str(store), [stored("1.jpg", source="", etag="", fingerprint=RANDOM)])
        assert counts(run(folder, store)) == (5, 0, 0)
        assert encoder.opened == 1


class TestMixtures:
    def test_another_models_vectors_are_refused_by_a_look(
        self, encoder: PixelEncoder, folder: Path, store_name: str
    ) -> None:
        fill(store_name, [stored("elsewhere.jpg", fingerprint="resnet18/f37072fd/pre1/float32")])
        with pytest.raises(ConfigurationError, match=r"resnet18/f37072fd/pre1/float32.* resnet18/random"):
            run(folder, store_name)
        assert set(contents(store_name)) == {"elsewhere.jpg"}
        assert encoder.opened == 0

    def test_another_models_vectors_are_refused_among_the_ids_touched(
        self, encoder: PixelEncoder, folder: Path, store: Path
    ) -> None:
        run(folder, store)
        odd = contents(str(store))["dogs/2.jpg"]
        fill(str(store), [stored(odd.image_id, etag=odd.etag, source=odd.source, fingerprint="another/model")])
        with pytest.raises(ConfigurationError, match="another/model"):
            run(folder, store)
        assert contents(str(store))["dogs/2.jpg"].fingerprint == "another/model"
        assert counts(run(folder, store, allow_mixed=True)) == (1, 4, 0)
        assert contents(str(store))["dogs/2.jpg"].fingerprint == RANDOM
        assert encoder.opened >= 2

    def test_both_can_be_kept_or_all_replaced(self, encoder: PixelEncoder, folder: Path, store: Path) -> None:
        run(folder, store)
        put(folder, "new.jpg", first_seed=90)
        with pytest.raises(ConfigurationError, match="--allow-mixed"):
            run(folder, store, normalize=True)
        assert len(contents(str(store))) == 5
        report = run(folder / "new.jpg", store, normalize=True, allow_mixed=True)
        assert counts(report) == (1, 0, 0)
        assert report.fingerprint == f"{RANDOM}/normalized"
        assert {each.fingerprint for each in contents(str(store)).values()} == {RANDOM, report.fingerprint}
        assert counts(run(folder, store, normalize=True, recompute=True)) == (6, 0, 0)
        assert {each.fingerprint for each in contents(str(store)).values()} == {report.fingerprint}
        assert encoder.opened == 3

    def test_half_precision_is_another_kind(self, encoder: PixelEncoder, folder: Path, store: Path) -> None:
        run(folder, store, dtype="float16")
        found = contents(str(store))["1.jpg"]
        assert (found.data_type, len(found.vector), found.fingerprint) == (
            "float16",
            1024,
            "resnet18/random/pre1/float16",
        )
        with pytest.raises(ConfigurationError, match="cannot be compared"):
            run(folder, store)
        assert encoder.opened == 1


def test_shards_and_folders_agree(encoder: PixelEncoder, folder: Path, store: Path) -> None:
    run(folder, store)
    shard = folder / "list.txt"
    shard.write_text("1.jpg\ncats/1.jpg\n1.jpg\nmissing.jpg\n")
    report = run(shard, store, failures=folder.parent / "f.jsonl")
    assert counts(report) == (0, 2, 1)
    assert report.ignored == {"listed twice": 1}
    assert failures(folder.parent / "f.jsonl")["missing.jpg"]["error"] == "Unreadable"
    assert encoder.opened in (1, 2)


def test_a_shard_in_s3_is_embedded(encoder: PixelEncoder, bucket: S3, store: Path, tmp_path: Path) -> None:
    bucket.put({"a/1.jpg": jpeg(1), "a/2 +%.jpg": jpeg(2), "a/bad.jpg": b"", "s/0.txt": b""})
    bucket.put({"s/0.txt": b"a/1.jpg\na/2 +%.jpg\na/bad.jpg\na/gone.jpg\n"})
    report = run(bucket.uri("s/0.txt"), store, failures=tmp_path / "f.jsonl")
    assert counts(report) == (2, 0, 2)
    assert {name: line["error"] for name, line in failures(tmp_path / "f.jsonl").items()} == {
        "a/bad.jpg": "Empty",
        "a/gone.jpg": "NotFound",
    }
    assert set(contents(str(store))) == {"a/1.jpg", "a/2 +%.jpg"}
    assert encoder.opened == 1


def test_one_file_is_embedded(encoder: PixelEncoder, folder: Path, store: Path) -> None:
    assert counts(run(folder / "cats" / "1.jpg", store)) == (1, 0, 0)
    assert set(contents(str(store))) == {"1.jpg"}
    assert encoder.opened == 1


def test_progress_is_told_along_the_way(encoder: PixelEncoder, folder: Path, store: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    run(folder / "1.jpg", store, progress=lambda ledger, total: seen.append((ledger.images, total)))
    assert seen[-1] == (1, 1)
    assert encoder.opened == 1
