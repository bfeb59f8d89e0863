"""A store, an engine, a kind of source, an address and a family of models, each added from outside the package.

Each is one class or function and one line in a table; docs/design.md says the same in words.
"""

from __future__ import annotations

import io
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from embedder import embed, read
from embedder.encoders import ENGINES, Arithmetic, Encoder, Engine
from embedder.encoders.prepared import Prepared
from embedder.encoders.pytorch import TorchEncoder
from embedder.errors import ConfigurationError
from embedder.models import FAMILIES, Home, Model
from embedder.records import (
    METADATA_ATTRIBUTES,
    Block,
    Failure,
    Pixels,
    Preprocessing,
    Reference,
    Sample,
    StoredVector,
    VectorInfo,
    Vectors,
)
from embedder.sources import READERS, SOURCES, Kind, Readers, Selection, Source
from embedder.stores import STORES
from tests.embedder.commands import command
from tests.embedder.pictures import put
from tests.embedder.stand_in import PixelEncoder


class MemoryStore:
    """A store that is a dictionary: `memory://NAME`."""

    stores: ClassVar[dict[str, dict[str, StoredVector]]] = {}
    group: int | None = 3
    writers = 2
    lookup_group = 5
    max_id_bytes = 100

    def __init__(self, name: str, *, must_exist: bool, stopping: threading.Event) -> None:
        if must_exist and name not in self.stores:
            raise ConfigurationError(f"there is no store {name}")
        self.name = name
        self.stopping = stopping
        self.rows = self.stores.setdefault(name, {})

    def prepare(self, *, index: int | None = None) -> None: ...

    def lookup(self, image_ids: Sequence[str]) -> dict[str, VectorInfo]:
        return {each: self.rows[each] for each in image_ids if each in self.rows}

    def sample(self) -> VectorInfo | None:
        return next(iter(self.rows.values()), None)

    def write(self, vectors: Sequence[StoredVector]) -> None:
        self.rows |= {each.image_id: each for each in vectors}

    def get(self, image_ids: Sequence[str]) -> Iterator[StoredVector]:
        return (self.rows[each] for each in image_ids if each in self.rows)

    def blocks(self, prefix: str = "", *, metadata: bool = False) -> Iterator[Block]:
        for each in [row for name, row in self.rows.items() if name.startswith(prefix)]:
            yield Block(
                image_ids=[each.image_id],
                fingerprints=[each.fingerprint],
                data_types=[each.data_type],
                dimensions=[each.dimension],
                vectors=[each.vector],
                scales=[each.scale],
                metadata=[[getattr(each, field.field)] for field in METADATA_ATTRIBUTES] if metadata else [],
            )

    def describe(self) -> Iterator[VectorInfo]:
        return iter(list(self.rows.values()))

    def delete(self, image_ids: Sequence[str]) -> None:
        for each in image_ids:
            del self.rows[each]

    def close(self) -> None: ...


def test_a_store(encoder: PixelEncoder, photo_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STORES, "memory", "tests.embedder.test_doors:MemoryStore")
    report = embed(photo_folder, "memory://here", weights="random")
    assert (report.embedded, report.store, encoder.opened) == (12, "memory://here", 1)
    assert embed(photo_folder, "memory://here", weights="random").skipped == 12
    ids, vectors = read("memory://here")
    assert (len(ids), vectors.shape) == (12, (12, 512))
    assert command("info", "memory://here").stdout.startswith("store\tmemory://here\nvectors\t12\n")
    told = command("doctor", photo_folder, "--store", "memory://here", "--weights", "random", "--json")
    assert '"check": "store", "status": "ok"' in told.stdout
    assert "store's disk" not in told.stdout


class Mirrored(TorchEncoder):
    """torch by another name."""

    engine = "mirrored"


def test_an_engine(photo_folder: Path, weights: Path, tmp_path: Path) -> None:
    ENGINES.insert(0, Engine(name="mirrored", opens=_mirrored))
    try:
        report = embed(photo_folder, tmp_path / "v.db", weights=weights, engine="mirrored")
        assert (report.engine, report.arithmetic, report.embedded) == ("mirrored", "float32", 12)
        assert "mirrored, mnn" in " ".join(command("run", "--help").stdout.split())
        refused = command("run", photo_folder, "--engine", "mirored", "--weights", "random")
        assert "did you mean mirrored?" in refused.stderr
    finally:
        del ENGINES[0]


def _mirrored(prepared: Prepared, arithmetic: Arithmetic, batch_size: int | None) -> Encoder:
    return Mirrored(prepared, arithmetic, batch_size)


@dataclass
class Colours:
    """Images that lie nowhere: a square of each colour that a `.colours` file names."""

    name: str
    names: list[str]
    readers_: Readers
    readers = 2
    remote = False

    def __post_init__(self) -> None:
        self.ignored: Counter[str] = Counter()
        self.total: int | None = len(self.names)

    def references(self) -> Iterator[Reference | Failure]:
        return (Reference(image_id=each, uri=f"colour://{each}") for each in self.names)

    def read(self, reference: Reference) -> Sample:
        return self.readers_.read(reference)

    def close(self) -> None:
        self.readers_.close()


def open_colours(name: str, _selection: Selection, stopping: threading.Event) -> Source:
    return Colours(name, Path(name).read_text().split(), Readers(stopping))


class ColourReader:
    """Paints what an address such as `colour://red` names."""

    readers = 2
    remote = False

    def __init__(self, _stopping: threading.Event) -> None: ...

    def read(self, reference: Reference) -> Sample:
        file = io.BytesIO()
        Image.new("RGB", (300, 300), reference.uri.removeprefix("colour://")).save(file, "PNG")
        return Sample(
            reference=Reference(image_id=reference.image_id, uri=reference.uri, etag="1"), data=file.getvalue()
        )

    def close(self) -> None: ...


@pytest.mark.usefixtures("encoder")
def test_a_kind_of_source_and_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(READERS, "colour", ColourReader)
    SOURCES.insert(0, Kind("", (".colours",), open_colours))
    try:
        (tmp_path / "three.colours").write_text("red green blue")
        report = embed(tmp_path / "three.colours", tmp_path / "v.db", weights="random")
    finally:
        del SOURCES[0]
    assert (report.images, report.embedded) == (3, 3)
    ids, vectors = read(tmp_path / "v.db")
    assert ids == ["blue", "green", "red"]
    assert not np.allclose(vectors[0], vectors[1])
    page = tmp_path / "page.html"
    assert command("similar", tmp_path / "v.db", "red", "--html", page).returncode == 0
    assert page.exists()


DISTRIBUTION = "torch"


class Mean(nn.Module):
    """The mean colour, times a weight for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3), requires_grad=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean((2, 3)) * self.weight


@dataclass(frozen=True)
class MeanBackbone:
    module: nn.Module

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        if set(state) != {"weight"}:
            raise ValueError("the file lacks weight")
        self.module.load_state_dict(state)


def find(name: str) -> Model:
    """As of a family; this file is one."""
    if name != "colour":
        raise ConfigurationError(f"there is no model means/{name}; there is means/colour")
    preprocessing = Preprocessing(
        resize=64, crop=64, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1), fit="both"
    )
    return Model(
        name="means/colour", url="https://example.org/m.pth", digest="0" * 8, dimension=3, preprocessing=preprocessing
    )


def build(_model: Model) -> MeanBackbone:
    return MeanBackbone(Mean())


def test_a_family_of_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(FAMILIES, "means", Home(__name__, DISTRIBUTION))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "images").mkdir()
    Image.new("RGB", (200, 100), (255, 0, 51)).save(tmp_path / "images" / "a.png")
    torch.save({"weight": torch.tensor([1.0, 1.0, 10.0])}, tmp_path / "w.pth")
    options = {"model": "means/colour", "weights": tmp_path / "w.pth", "engine": "torch", "precision": "full"}
    report = embed(tmp_path / "images", tmp_path / "v.db", **options)  # type: ignore[arg-type]
    assert report.fingerprint.startswith("means/colour/")
    assert report.fingerprint.endswith("/pre1/float32")
    assert np.allclose(read(tmp_path / "v.db")[1], [[1, 0, 2]], atol=1e-3)
    put(tmp_path, "query.jpg")
    similar = command("similar", tmp_path / "v.db", tmp_path / "query.jpg", "--weights", tmp_path / "w.pth")
    assert similar.returncode == 0, similar.stderr
    wrong = command("run", tmp_path / "images", "--model", "means/shape", "--store", tmp_path / "w.db")
    assert (wrong.returncode, "there is means/colour" in wrong.stderr) == (2, True)


class Brightness:
    """An encoder of one's own: the mean of each third of the picture, from the top."""

    name = "brightness"
    preprocessing = Preprocessing(resize=90, crop=60, interpolation="bicubic", mean=(0, 0, 0), std=(1, 1, 1))

    def encode(self, pixels: Pixels) -> Vectors:
        assert pixels.shape[1:] == (60, 60, 3)
        return np.stack([part.mean(axis=(1, 2, 3)) for part in np.split(pixels, 3, axis=1)], axis=1)


def test_an_encoder_of_ones_own(photo_folder: Path, tmp_path: Path) -> None:
    report = embed(photo_folder, tmp_path / "v.db", encoder=Brightness())
    assert (report.embedded, report.dimension, report.model) == (12, 3, "brightness")
    assert report.fingerprint == "brightness/own/pre1/float32"
    ids, vectors = read(tmp_path / "v.db")
    assert (len(ids), vectors.shape, str(vectors.dtype)) == (12, (12, 3), "float32")
    again = embed(photo_folder, tmp_path / "v.db", encoder=Brightness())
    assert (again.skipped, again.engine) == (12, None)
    with pytest.raises(ConfigurationError, match="holds vectors of brightness/own/pre1/float32"):
        embed(photo_folder, tmp_path / "v.db", weights="random")


def test_an_encoder_that_returns_something_else_is_told(photo_folder: Path, tmp_path: Path) -> None:
    class Flat(Brightness):
        def encode(self, pixels: Pixels) -> Vectors:
            return super().encode(pixels).ravel()

    with pytest.raises(
        ConfigurationError, match=r"returned an array of shape \(3,\) for 1 pictures; expected \(1, D\)"
    ):
        embed(photo_folder, tmp_path / "v.db", encoder=Flat())
