"""A model made ready for engines other than torch, kept so that the next start does not need torch.

A folder per model and weights holds `model.onnx`, with normalisation inside; `golden.npy`, the vectors
that eager float32 torch gives for a few made-up pictures; and whatever the engines make of them.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from embedder.config import cache_folder
from embedder.models.catalog import PREPROCESSING_VERSION, Model
from embedder.models.weights import RANDOM, Weights
from embedder.records import Pixels, Vectors
from embedder.system.atomic import replacing
from embedder.system.temporary import FULL, temporary_folder

logger = logging.getLogger("embedder")

GOLDEN_PICTURES = 16
INPUT, OUTPUT = "pixels", "vectors"


class Prepared:
    """What has been made of a model's weights in a folder; see the module.

    Args:
        folder: where the files are, or will be if it can be written; None where there is no such place.
        passing: makes a folder for what cannot be kept.
    """

    def __init__(self, model: Model, weights: Weights, folder: Path | None, passing: Callable[[], Path]) -> None:
        self.model = model
        self.weights = weights
        self.kept = folder
        self.passing = passing

    @classmethod
    @contextmanager
    def open(cls, model: Model, weights: Weights) -> Iterator[Prepared]:
        """Use the cache folder, and a passing one for what is not in it where it cannot be written."""
        with ExitStack() as stack:
            passing = temporary_folder(f"{model.name}, whose cache cannot be written,")
            yield cls(model, weights, _cached(model, weights), lambda: stack.enter_context(passing))

    @cached_property
    def folder(self) -> Path:
        """Where new files go: the kept folder, else a passing one."""
        return self.kept if self.keeps and self.kept else self.passing()

    @cached_property
    def keeps(self) -> bool:
        """Whether what is made now is there the next time. The cache of a container image is often read-only."""
        if self.kept is None:
            return False
        try:
            self.kept.mkdir(parents=True, exist_ok=True)
        except OSError:
            return False
        return os.access(self.kept, os.W_OK)

    def find(self, name: str) -> Path | None:
        """Return a file that has been kept, None if there is none."""
        return path if self.kept and (path := self.kept / name).exists() else None

    def file(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return a file of the folder; the first time it is made by calling `make` with a name to write to."""
        path = self.find(name) or self.folder / name
        if not path.exists():
            try:
                with replacing(path) as part:
                    make(part)
            except OSError as error:
                if error.errno not in FULL or path.parent != self.kept:
                    raise
                self._keep_no_more()
                return self.file(name, make)
        return path

    def _keep_no_more(self) -> None:
        """Go on in a passing folder: else an engine would fail, and be passed over when there is room again."""
        if self.keeps:  # making a file may make another one first
            logger.warning("%s has no room for a prepared model: every start makes it again", self.kept)
            self.keeps, self.folder = False, self.passing()

    def onnx(self) -> Path:
        """The network with normalisation: (B, 3, crop, crop) float32 of 0..255 to (B, dimension)."""
        return self.file("model.onnx", self._export)

    def golden(self) -> tuple[Pixels, Vectors]:
        """Made-up pictures, (B, crop, crop, 3), and the reference's vectors for them, (B, dimension)."""
        pixels = golden_pictures(self.model.preprocessing.crop)

        def encode(path: Path) -> None:
            from embedder.encoders.pytorch import reference_vectors

            with path.open("wb") as file:
                np.save(file, reference_vectors(self.model, self.weights, pixels))

        vectors: Vectors = np.load(self.file("golden.npy", encode))
        return pixels, vectors

    def _export(self, path: Path) -> None:
        logger.info("preparing %s for the fast engines, once on this machine", self.model.name)
        import torch

        from embedder.encoders.pytorch import NormalizedBackbone

        example = torch.zeros(2, 3, self.model.preprocessing.crop, self.model.preprocessing.crop)
        with warnings.catch_warnings(), _spelt_out_attention():
            # The TorchScript exporter needs no further package; that it is the older one is no news.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                NormalizedBackbone(self.model, self.weights),
                (example,),
                str(path),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
                dynamo=False,
            )


@contextmanager
def _spelt_out_attention() -> Iterator[None]:
    """Have transformers compute attention step by step: torch's kernel for all of it has no name in ONNX."""
    from torch.backends import mha

    before = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        mha.set_fastpath_enabled(before)


def _cached(model: Model, weights: Weights) -> Path | None:
    parent = cache_folder()
    name = f"{model.name}-{weights.digest}-{PREPROCESSING_VERSION}"
    if weights.choice == RANDOM:
        name += f"-{_torch_version()}"  # what a seed makes may change with it
    return parent / name if parent else None


def golden_pictures(side: int) -> Pixels:
    """Pictures with structure at every scale, the same everywhere: (GOLDEN_PICTURES, side, side, 3)."""
    chance = np.random.Generator(np.random.PCG64(7))
    total = np.zeros((GOLDEN_PICTURES, side, side, 3))
    for cells in (2, 7, 28, side):
        coarse = chance.random((GOLDEN_PICTURES, cells, cells, 3))
        steps = np.arange(side) * cells // side
        total += coarse[:, steps][:, :, steps]
    pictures: Pixels = (total * (255 / 4)).astype(np.uint8)
    return pictures


def _torch_version() -> str:
    from importlib.metadata import version

    return version("torch")
