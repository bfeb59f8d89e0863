"""What is known of models: the default without asking, the others from torchvision, once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedder.errors import ConfigurationError
from embedder.models import torchvision as family
from embedder.models.catalog import RESNET18, find_model
from embedder.models.checkpoint import Checkpoint
from embedder.records import Preprocessing
from tests.embedder.commands import imported
from tests.embedder.pictures import put


def test_the_default_is_what_torchvision_says() -> None:
    assert family.find("resnet18") == RESNET18


def test_preprocessing_is_that_of_the_published_weights() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    for name, resize, crop, interpolation in (
        ("resnet50", 232, 224, "bilinear"),
        ("efficientnet_b0", 256, 224, "bicubic"),
        ("efficientnet_b1", 255, 240, "bilinear"),
        ("inception_v3", 342, 299, "bilinear"),
    ):
        expected = Preprocessing(resize=resize, crop=crop, interpolation=interpolation, mean=mean, std=std)  # type: ignore[arg-type]
        assert find_model(name).preprocessing == expected


def test_published_weights_are_named_by_eight_digits_of_their_digest() -> None:
    for name, digest in (("resnet50", "11ad3fa6"), ("mnasnet0_5", "3ffadce6")):
        checkpoint = Checkpoint.find(find_model(name), "default")
        made = checkpoint.fingerprint("float32", normalize=False, preprocessing="pre1")
        assert str(made) == f"{name}/{digest}/pre1/float32"
    assert find_model("mnasnet0_5").digest == "3ffadce67e"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("resnet19", ": resnet1"),
        ("ResNet50", ": resnet50"),
        ("dinov9", "torchvision has: alexnet, convnext_base, "),
        ("../../etc/passwd", "torchvision has: "),
        ("fasterrcnn_resnet50_fpn", "there is no model"),
        ("", "torchvision has: "),
    ],
)
def test_an_unknown_model_is_answered_with_those_that_are_known(name: str, hint: str) -> None:
    with pytest.raises(ConfigurationError, match="there is no model") as caught:
        find_model(name)
    assert hint in str(caught.value)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "embedder" / "models"


def test_what_torchvision_said_is_kept(cache: Path) -> None:
    first = find_model("squeezenet1_1")
    (note,) = cache.iterdir()
    assert note.name.startswith("squeezenet1_1-torchvision-")
    note.write_text(note.read_text().replace('"dimension": 512', '"dimension": 513'))
    assert find_model("squeezenet1_1").dimension == first.dimension + 1


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"preprocessing": {}}', '{"preprocessing": 3}'])
def test_a_damaged_note_is_made_again(content: str, cache: Path) -> None:
    expected = find_model("squeezenet1_1")
    (note,) = cache.iterdir()
    note.write_text(content)
    assert find_model("squeezenet1_1") == expected
    assert json.loads(note.read_text())["dimension"] == 512


def test_without_a_cache_it_works_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert find_model("squeezenet1_1").dimension == 512


@pytest.mark.usefixtures("cache")
def test_a_second_run_of_another_model_needs_no_torch(tmp_path: Path) -> None:
    put(tmp_path / "images", "1.jpg")
    words = [
        "run",
        "images",
        "--model",
        "squeezenet1_1",
        "--weights",
        "random",
        "--engine",
        "torch",
        "--precision",
        "full",
    ]
    first, heavy = imported(*words, folder=tmp_path)
    assert (first.returncode, "torch" in heavy) == (0, True)
    assert "squeezenet1_1/random/pre1/float32, 512 numbers each" in first.stdout
    second, heavy = imported(*words, folder=tmp_path)
    assert second.returncode == 0
    assert "Nothing to do: the only image is in" in second.stdout
    assert not heavy & {"torch", "torchvision"}


@pytest.mark.usefixtures("cache")
def test_another_model_is_refused_where_one_is_stored(tmp_path: Path) -> None:
    put(tmp_path / "images", "1.jpg")
    assert (
        imported("run", "images", "--weights", "random", "--engine", "torch", "--precision", "full", folder=tmp_path)[
            0
        ].returncode
        == 0
    )
    words = ["run", "images", "--model", "squeezenet1_1", "--weights", "random"]
    refused, _ = imported(*words, folder=tmp_path)
    assert refused.returncode == 2
    assert "resnet18/random/pre1/float32" in refused.stderr
    assert "squeezenet1_1/random" in refused.stderr
