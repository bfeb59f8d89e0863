"""Weights: which files are taken, which are refused, and with what sentence."""

from __future__ import annotations

import pickle
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from embedder import embed, read
from embedder.errors import ConfigurationError, TransientError
from embedder.models import weights
from embedder.models.catalog import RESNET18
from embedder.models.checkpoint import Checkpoint
from embedder.models.weights import find_weights, load_state_dict, published_file, sha256
from embedder.records import Vectors
from tests.embedder.limits import longest_file
from tests.embedder.pictures import put

MODEL = RESNET18


@pytest.fixture(scope="module")
def state(request: pytest.FixtureRequest) -> dict[str, torch.Tensor]:
    loaded: dict[str, torch.Tensor] = torch.load(request.getfixturevalue("weights"), weights_only=True)
    return loaded


@pytest.fixture
def images(tmp_path: Path) -> Path:
    put(tmp_path / "images", "1.jpg", "2.jpg")
    return tmp_path / "images"


def vectors(images: Path, weights: Path) -> np.ndarray:
    store = weights.with_suffix(".db")
    report = embed(images, store, weights=weights, device="cpu", engine="torch", precision="full")
    assert report.embedded == 2
    return read(str(store))[1]


def test_every_kind_of_file_gives_the_same_vectors(images: Path, state: dict[str, Any], tmp_path: Path) -> None:
    torch.save(state, tmp_path / "plain.pth")
    save_file(state, tmp_path / "safe.safetensors")
    other_classes = {**state, "fc.weight": torch.zeros(7, 512), "fc.bias": torch.zeros(7)}
    torch.save(other_classes, tmp_path / "tuned.pth")
    backbone = {name: value for name, value in state.items() if not name.startswith("fc.")}
    save_file(backbone, tmp_path / "backbone.safetensors")
    old = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pt")
    expected = vectors(images, tmp_path / "plain.pth")
    for name in ("safe.safetensors", "tuned.pth", "backbone.safetensors", "old.pt"):
        assert np.array_equal(vectors(images, tmp_path / name), expected), name


def test_another_head_is_accepted_from_a_whole_fine_tuned_model(
    images: Path, state: dict[str, Any], tmp_path: Path
) -> None:
    from torchvision.models import resnet18

    tuned = resnet18(num_classes=3)
    tuned.load_state_dict({**state, **{name: value for name, value in tuned.state_dict().items() if "fc." in name}})
    torch.save(tuned.state_dict(), tmp_path / "tuned.pth")
    torch.save(state, tmp_path / "plain.pth")
    assert np.array_equal(vectors(images, tmp_path / "tuned.pth"), vectors(images, tmp_path / "plain.pth"))


def refused(images: Path, weights: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        embed(images, images.parent / "vectors.db", weights=weights)
    assert not (images.parent / "vectors.db").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_state_dict_that_does_not_fit_says_where(images: Path, state: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({name: value for name, value in state.items() if name != "layer1.0.conv1.weight"}, path)
    assert "the file lacks layer1.0.conv1.weight" in refused(images, path)
    torch.save({**state, "layer9.weight": torch.zeros(1)}, path)
    assert "the file has the unknown layer9.weight" in refused(images, path)
    torch.save({**state, "conv1.weight": torch.zeros(64, 1, 7, 7)}, path)
    assert "size mismatch for conv1.weight" in refused(images, path)
    torch.save({}, path)
    assert "do not fit resnet18" in refused(images, path)


class Evil:
    def __reduce__(self) -> Any:
        return (Path("/").joinpath, ("evil",))


@pytest.mark.parametrize(
    "content",
    [b"", b"not a pickle", pickle.dumps({"a": 1}), pickle.dumps(Evil())],
    ids=["empty", "text", "pickle", "code"],
)
@pytest.mark.parametrize("name", ["odd.pth", "odd.safetensors"])
def test_what_is_no_state_dict_is_refused(content: bytes, name: str, images: Path, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert str(path) in refused(images, path)


def test_a_whole_model_or_a_checkpoint_is_refused(images: Path, state: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    torch.save(torch.nn.Linear(2, 2), path)
    assert "is not a state dict that can be loaded safely" in refused(images, path)
    torch.save({"epoch": 3, "state_dict": state}, path)
    assert "expected a state dict" in refused(images, path)
    torch.save([1, 2], path)
    assert "a list" in refused(images, path)
    torch.save({1: torch.zeros(1), "conv1.weight": torch.zeros(1)}, path)
    assert "a dict with 1, conv1.weight" in refused(images, path)


def test_a_missing_file_is_named(images: Path, tmp_path: Path) -> None:
    assert "nowhere.pth cannot be read: No such file" in refused(images, tmp_path / "nowhere.pth")
    assert "cannot be read: Is a directory" in refused(images, images)


def test_random_weights_are_always_the_same(images: Path, tmp_path: Path) -> None:
    found: list[Vectors] = []
    for name in ("one.db", "two.db"):
        torch.manual_seed(len(found))
        before = torch.get_rng_state()
        report = embed(images, tmp_path / name, weights="random", device="cpu", engine="torch", precision="full")
        assert torch.equal(torch.get_rng_state(), before)
        assert report.fingerprint == "resnet18/random/pre1/float32"
        found.append(read(str(tmp_path / name))[1])
    assert np.array_equal(found[0], found[1])


def test_fingerprints_name_what_makes_a_vector(weights: Path) -> None:
    digest = sha256(weights)[:8]
    assert find_weights(str(weights), MODEL).digest == digest
    assert find_weights("default", MODEL).digest == "f37072fd"
    own, published = Checkpoint.find(MODEL, str(weights)), Checkpoint.find(MODEL, "default")
    made = own.fingerprint("float32", normalize=False, preprocessing="pre1")
    assert str(made) == f"resnet18/{digest}/pre1/float32"
    made = published.fingerprint("float16", normalize=True, preprocessing="pre1-0123abcd")
    assert str(made) == "resnet18/f37072fd/pre1-0123abcd/float16/normalized"
    assert load_state_dict(find_weights("random", MODEL), MODEL) is None


class TestPublished:
    """The published file: from torch's cache, or downloaded, or a sentence that names the remedies."""

    @pytest.fixture(autouse=True)
    def home(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        return tmp_path / "torch" / "hub" / "checkpoints"

    def model(self, url: str, digest: str) -> Any:
        from dataclasses import replace

        return replace(MODEL, url=url, digest=digest)

    def test_unreachable_weights_name_the_remedies(self, images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")
            with pytest.raises(ConfigurationError, match="cannot be downloaded") as caught:
                embed(images, images.parent / "vectors.db")
        for remedy in ("--weights PATH", "--weights random", "copy the file to", MODEL.url):
            assert remedy in str(caught.value)
        assert not (images.parent / "vectors.db").exists()

    def test_a_file_in_the_cache_is_used(self, home: Path, weights: Path) -> None:
        home.mkdir(parents=True)
        digest = sha256(weights)[:8]
        cached = home / f"resnet18-{digest}.pth"
        cached.symlink_to(weights)
        assert published_file(self.model(f"https://127.0.0.1:9/{cached.name}", digest)) == cached

    def test_another_file_in_the_cache_is_refused(self, home: Path) -> None:
        home.mkdir(parents=True)
        (home / "resnet18-f37072fd.pth").write_bytes(b"cut off")
        with pytest.raises(ConfigurationError, match="is not the file that torchvision publishes"):
            published_file(MODEL)

    def test_it_is_downloaded_once_and_its_hash_is_checked(self, home: Path, tmp_path: Path) -> None:
        served = tmp_path / "resnet18-x.pth"
        served.write_bytes(b"weights")
        digest = sha256(served)[:8]
        assert published_file(self.model(served.as_uri(), digest)).read_bytes() == b"weights"
        served.unlink()
        assert published_file(self.model(served.as_uri(), digest)) == home / served.name

    def test_a_cache_that_cannot_be_written_is_named_with_what_to_do(self, home: Path, tmp_path: Path) -> None:
        (tmp_path / "torch").write_bytes(b"in the way")
        with pytest.raises(ConfigurationError, match="cannot be written: Not a directory") as caught:
            published_file(MODEL)
        for part in (str(home), "--weights PATH", "TORCH_HOME", "/tmp/torch", "MODEL=resnet18"):
            assert part in str(caught.value)

    def test_a_download_that_is_another_file_leaves_nothing(self, home: Path, tmp_path: Path) -> None:
        served = tmp_path / "resnet18-x.pth"
        served.write_bytes(b"a login page")
        with pytest.raises(ConfigurationError, match="its SHA-256 differs"):
            published_file(self.model(served.as_uri(), "f37072fd"))
        assert list(home.iterdir()) == []

    def test_a_download_that_finds_no_space_may_be_tried_again(self, home: Path, tmp_path: Path) -> None:
        served = tmp_path / "resnet18-x.pth"
        served.write_bytes(bytes(200_000))
        with longest_file(100_000), pytest.raises(TransientError, match="no space left for the published weights"):
            published_file(self.model(served.as_uri(), sha256(served)[:8]))
        assert list(home.iterdir()) == []

    def test_as_a_program_it_says_whether_they_can_be_had(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        home.mkdir(parents=True)
        (home / "resnet18-f37072fd.pth").write_bytes(b"cut off")
        assert weights.main() == 2
        assert "is not the file that torchvision publishes" in capsys.readouterr().err
