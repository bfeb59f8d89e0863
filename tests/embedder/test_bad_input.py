"""Bad input: one sentence on stderr, the documented exit code, and nothing half-written."""

from __future__ import annotations

import json
import os
import pickle
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.embedder.commands import command
from tests.embedder.pictures import jpeg, put
from tests.embedder.stand_in import PixelEncoder
from tests.embedder.stored import fill, stored
from tests.parts.dynamodb import DynamoDB
from tests.parts.s3 import S3


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two images in `images`."""
    put(tmp_path / "images", "1.jpg", "2.jpg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def snapshot() -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def refused(*arguments: str | Path, code: int = 2) -> str:
    """Run a command that cannot be done, and return its sentence."""
    before = snapshot()
    found = command(*arguments)
    assert found.returncode == code, found.stderr
    assert found.stdout == ""
    sentence = found.stderr.strip()
    assert sentence
    assert "\n" not in sentence, sentence
    assert "Traceback" not in sentence
    assert sentence.startswith(f"embedder {arguments[0]}: " if arguments else "embedder: ")
    assert snapshot() == before
    return sentence


def run(*arguments: str | Path) -> str:
    return refused("run", *arguments, "--weights", "random")


def test_a_source_that_is_not_there() -> None:
    assert "there is no file or folder nowhere" in run("nowhere")
    assert "there is no file or folder nowhere.jsonl" in run("nowhere.jsonl")
    assert "https://example.com/a.jpg is not a source" in run("https://example.com/a.jpg")


def test_no_source_at_all() -> None:
    assert "SOURCE is missing" in run()


def test_a_source_without_images(folder: Path) -> None:
    (folder / "empty").mkdir()
    assert "there is no image in empty" in run("empty")
    (folder / "empty" / "notes.md").write_text("x")
    assert "ignored: 1 .md" in run("empty")
    (folder / "list.txt").write_text("\n")
    assert "there is no image in list.txt" in run("list.txt")


def test_a_bucket_that_is_not_there(moto_bucket: S3) -> None:
    assert "there is no bucket nowhere-at-all" in run("s3://nowhere-at-all/images/")
    assert "there is no bucket nowhere-at-all" in run("s3://nowhere-at-all/images")
    assert "there is no bucket nowhere-at-all" in run("s3://nowhere-at-all")
    assert f"there is no image in {moto_bucket.uri('images/')}" in run(moto_bucket.uri("images/"))
    assert "there is no shard" in run(moto_bucket.uri("shard.jsonl"))
    assert "is not an S3 address" in run("s3://")


def test_a_table_that_is_not_there(table: DynamoDB) -> None:
    assert "there is no DynamoDB table nowhere" in run("images", "--store", "dynamodb://nowhere")
    assert "there is no DynamoDB table nowhere" in refused("read", "dynamodb://nowhere")
    assert "there is no DynamoDB table nowhere" in refused("info", "dynamodb://nowhere")
    assert table.items() == {}


def test_a_table_with_another_key(table: DynamoDB) -> None:
    table.client().create_table(
        TableName="other",
        KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    assert "expected the partition key ImageId of type S" in run("images", "--store", "dynamodb://other")


def test_no_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("AWS_ACCESS", "AWS_SECRET", "AWS_SESSION", "AWS_PROFILE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    for arguments in (("s3://bucket/images/",), ("s3://bucket/s.jsonl",), ("images", "--store", "dynamodb://vectors")):
        assert "needs AWS credentials and none were found" in run(*arguments)


def test_an_unknown_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    assert "nobody" in run("s3://bucket/images/")


def test_credentials_that_are_not_accepted(s3_rclone: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = s3_rclone.environment() | {"AWS_SECRET_ACCESS_KEY": "wrong"}  # pragma: allowlist secret
    for name, value in forged.items():
        monkeypatch.setenv(name, value)
    assert "does not accept these AWS credentials" in run(s3_rclone.uri("images/"))


def test_a_store_of_another_model(store_name: str) -> None:
    fill(store_name, [stored("elsewhere", fingerprint="resnet18/f37072fd/pre1/float32")])
    sentence = run("images", "--store", store_name)
    for fact in ("resnet18/f37072fd/pre1/float32", "resnet18/random/pre1/float32", "--recompute", "--allow-mixed"):
        assert fact in sentence


def test_what_is_no_store(folder: Path) -> None:
    (folder / "notes.txt").write_text("not a database, but longer than its magic number\n")
    assert "notes.txt is not a SQLite database" in run("images", "--store", "notes.txt")
    assert "notes.txt is not a SQLite database" in refused("read", "notes.txt")
    connection = sqlite3.connect("songs.db")
    connection.execute("CREATE TABLE songs (title TEXT)")
    connection.close()
    assert "is not a store of embedder" in run("images", "--store", "songs.db")
    assert "is a folder" in run("images", "--store", "images")
    assert "there is no folder no" in run("images", "--store", "no/vectors.db")
    assert "is not a store" in run("images", "--store", "redis://host/0")
    assert "expected dynamodb://TABLE" in run("images", "--store", "dynamodb://")


def test_a_store_that_is_not_there_cannot_be_read() -> None:
    assert "there is no store at nowhere.db" in refused("read", "nowhere.db")
    assert "there is no store at nowhere.db" in refused("info", "nowhere.db")


@pytest.mark.parametrize(
    "options",
    [
        ("--batch-size", "0"),
        ("--batch-size", "many"),
        ("--workers", "-1"),
        ("--device", "tpu"),
        ("--engine", "magic"),
        ("--dtype", "float64"),
        ("--image-id", "name"),
        ("--max-failures", "200%"),
        ("--max-pixels", "0"),
        ("--suffixes", ","),
        ("--failures", "no/f.jsonl"),
        ("--bogus",),
        ("--batch-size",),
        ("--batch", "3"),
    ],
)
def test_a_nonsense_option(options: tuple[str, ...]) -> None:
    assert options[0] in run("images", *options)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("EMBEDDER_BATCH_SIZE", "x"),
        ("EMBEDDER_JSON", "perhaps"),
        ("EMBEDDER_NORMALIZE", "2"),
        ("EMBEDDER_DTYPE", "float64"),
    ],
)
def test_a_nonsense_variable(variable: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)
    assert f"{variable}: '{value}' is not valid" in run("images")


def test_an_unknown_command() -> None:
    found = command("embed", "images")
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1
    assert command().returncode == 2


def test_an_unknown_model() -> None:
    sentence = run("images", "--model", "resnet19")
    assert "there is no model 'resnet19'" in sentence
    assert ": resnet18," in sentence


def test_weights_that_are_none(folder: Path) -> None:
    import torch

    (folder / "w.pth").write_bytes(b"not weights")
    assert "w.pth is not a state dict" in refused("run", "images", "--quiet", "--weights", "w.pth")
    (folder / "w.pth").write_bytes(pickle.dumps({"a": 1}))
    assert "w.pth is not a state dict" in refused("run", "images", "--quiet", "--weights", "w.pth")
    torch.save({"conv1.weight": torch.zeros(64, 3, 7, 7)}, folder / "w.pth")
    assert "do not fit resnet18" in refused("run", "images", "--quiet", "--weights", "w.pth")
    (folder / "w.safetensors").write_bytes(b"\x08\0\0\0\0\0\0\0nonsense")
    assert "w.safetensors is not a state dict" in refused("run", "images", "--quiet", "--weights", "w.safetensors")
    assert "the weights nowhere.pth cannot be read" in refused("run", "images", "--quiet", "--weights", "nowhere.pth")


def test_unreachable_published_weights(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(folder.parent / f"{folder.name}-torch"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    found = command("run", "images")
    assert found.returncode == 2
    *_, sentence = found.stderr.strip().splitlines()
    assert "--weights random" in sentence
    assert "--weights PATH" in sentence
    assert "Traceback" not in found.stderr
    assert not (folder / "vectors.db").exists()


def test_stems_that_collide(folder: Path) -> None:
    put(folder, "images/more/1.png")
    sentence = run("images", "--image-id", "stem")
    assert "images/1.jpg" in sentence
    assert "images/more/1.png" in sentence
    (folder / "list.txt").write_text("images/1.jpg\n")
    assert "--image-id stem is not possible" in run("list.txt", "--image-id", "stem")
    assert "--prune is not possible" in run("list.txt", "--prune")


def test_what_is_no_shard(folder: Path) -> None:
    (folder / "s.jsonl").write_text("images/1.jpg\n")
    assert "s.jsonl is not a shard: line 1" in run("s.jsonl")


def test_a_file_to_write_that_cannot_be(folder: Path, store_name: str) -> None:
    fill(store_name, [stored("a")])
    assert "expected a file that ends with" in refused("read", store_name, "--out", "v.xls")
    assert "there is no folder no" in refused("read", store_name, "--out", "no/v.npz")
    assert "--ids-file nowhere.txt cannot be read" in refused("read", store_name, "--ids-file", "nowhere.txt")
    (folder / "ids.txt").write_bytes(b"\xff\xfe")
    assert "--ids-file ids.txt cannot be read" in refused("read", store_name, "--ids-file", "ids.txt")


def test_a_bad_image_is_no_bad_input(encoder: PixelEncoder, folder: Path) -> None:
    (folder / "images" / "bad.jpg").write_bytes(jpeg()[:100])
    found = command("run", "images", "--weights", "random", "--json", "--quiet")
    assert (found.returncode, found.stderr) == (0, "")
    report: dict[str, Any] = json.loads(found.stdout)
    assert (report["embedded"], report["failed"]) == (2, 1)
    assert encoder.opened == 1
