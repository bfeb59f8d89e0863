"""A network prepared for engines other than torch, and kept, so that the next start needs no torch.

The folder of a network holds `model.onnx`, with the normalisation inside; the reference's vectors of the golden
pictures; and what the engines make of the model.
"""

from __future__ import annotations

import io
import logging
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from embedder.config import cache_folder
from embedder.encoders import Network
from embedder.encoders.golden import golden_pictures
from embedder.records import Pixels, Vectors
from embedder.system.files import is_out_of_space, replacing, temporary_folder
from embedder.system.steps import step

logger = logging.getLogger("embedder")

GOLDEN = "golden-2.npy"
"""The version is that of the pictures: other pictures have other vectors."""
GOLDEN_PICTURES = "golden-2-pictures.npy"
"""To read them takes 5 ms of CPU time, to make them 150, which is a tenth of a worker's start."""
INPUT, OUTPUT = "pixels", "vectors"


class Prepared:
    """The files that have been made of a network; see the module.

    Args:
        kept: the folder where they are, or will be if it can be written; None where there is no cache.
        temporary: makes a folder for files that cannot be kept.
    """

    def __init__(self, network: Network, kept: Path | None, temporary: Callable[[], Path]) -> None:
        self.network = network
        self.kept = kept
        self.temporary = temporary
        self.export_error: Exception | None = None
        """Why the network cannot be exported, once that was tried: it takes seconds, and every engine asks for it."""

    @classmethod
    @contextmanager
    def open(cls, network: Network) -> Iterator[Prepared]:
        """Use the cache folder; if the cache is read-only, new files go to a temporary folder."""
        with ExitStack() as stack:
            temporary = temporary_folder(f"{network.name}, whose cache cannot be written,")
            cache = cache_folder()
            kept = cache / network.key if cache else None
            yield cls(network, kept, lambda: stack.enter_context(temporary))

    @cached_property
    def folder(self) -> Path:
        """Where new files go: the kept folder, else a temporary one."""
        return self.kept if self.keeps and self.kept else self.temporary()

    @cached_property
    def keeps(self) -> bool:
        """Whether a file that is made now is there at the next start. A container's cache is often read-only."""
        if self.kept is None:
            return False
        try:
            self.kept.mkdir(parents=True, exist_ok=True)
        except OSError:
            return False
        return os.access(self.kept, os.W_OK)

    def find(self, name: str) -> Path | None:
        """Return a file that has been kept; None if there is none."""
        return path if self.kept and (path := self.kept / name).exists() else None

    def file(self, name: str, make: Callable[[Path], None]) -> Path:
        """Return a file of the folder. Where there is none yet, `make` is called with the path to write."""
        path = self.find(name) or self.folder / name
        if not path.exists():
            try:
                with replacing(path) as part:
                    make(part)
            except OSError as error:
                if not is_out_of_space(error) or path.parent != self.kept:
                    raise
                self._keep_no_more()
                return self.file(name, make)
        return path

    def _keep_no_more(self) -> None:
        """Go on in a temporary folder, so that a full disk is not taken for a fault of the engine."""
        if self.keeps:  # making a file may make another one first
            logger.warning("%s has no room for a prepared model: every start prepares it again", self.kept)
            self.keeps, self.folder = False, self.temporary()

    def onnx(self) -> Path:
        """Return the network with normalisation: (B, 3, crop, crop) float32 of 0..255 to (B, dimension).

        Raises:
            Exception: whatever the exporter raises, and the same at each further call.
        """
        if self.export_error is not None:
            raise self.export_error
        try:
            return self.file("model.onnx", self._export)
        except Exception as error:
            self.export_error = error
            raise

    def golden(self) -> tuple[Pixels, Vectors]:
        """Return the golden pictures, (B, crop, crop, 3), and the reference's vectors of them, (B, dimension)."""
        pictures = self._array(GOLDEN_PICTURES, lambda: golden_pictures(self.network.preprocessing.crop))

        def encode() -> Vectors:
            from embedder.encoders.pytorch import reference_vectors

            return reference_vectors(self.network, pictures)

        return pictures, self._array(GOLDEN, encode)

    def _array(self, name: str, make: Callable[[], np.ndarray]) -> np.ndarray:
        """Return the array of a file of the folder, which `make` makes where there is none yet."""

        def write(path: Path) -> None:
            file = io.BytesIO()  # writing to a file of the disk, numpy does not say why it fails
            np.save(file, make())
            path.write_bytes(file.getvalue())

        array: np.ndarray = np.load(self.file(name, write))
        return array

    def _export(self, path: Path) -> None:
        with step(f"preparing {self.network.name} for the fast engines, once on this machine"):
            self._export_to_onnx(path)

    def _export_to_onnx(self, path: Path) -> None:
        import torch

        from embedder.encoders.pytorch import Normalized

        side = self.network.preprocessing.crop
        with warnings.catch_warnings(), _spelt_out_attention():
            # The TorchScript exporter needs no further package. Its warning that a newer one exists is of no use here.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                Normalized(self.network),
                (torch.zeros(2, 3, side, side),),
                str(path),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
                dynamo=False,
            )


@contextmanager
def _spelt_out_attention() -> Iterator[None]:
    """Make transformers compute attention step by step: ONNX has no name for torch's kernel that does it at once."""
    from torch.backends import mha

    before = mha.get_fastpath_enabled()
    mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        mha.set_fastpath_enabled(before)
