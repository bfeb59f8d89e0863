"""MNN: the fastest on the CPUs measured, because it convolves by Winograd's method.

Its wheel also has a package `MNN.tools`, which installs a logging client and reports its use when it is
imported. It is never imported here: the converter is called where it is implemented, in `_tools`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np

from embedder.encoders.prepared import INPUT, OUTPUT, Prepared
from embedder.records import Pixels, Vectors
from embedder.system.cores import usable_cores

BATCH = 16

MOST_LANES = 8
"""Each costs about 200 MB: the weights again, and a batch's intermediate results."""


class MNNEncoder:
    """A model run by MNN on the CPU; see `Encoder`.

    A lane per core, each with one thread and a copy of the weights: a lane that loses its core to decoding
    for a moment keeps no other waiting, as the threads of one lane would at the end of every layer.
    """

    engine = "mnn"
    device = "cpu"
    batch_size = BATCH

    def __init__(self, prepared: Prepared) -> None:
        self.dimension = prepared.model.dimension
        cores = usable_cores()
        self.lanes = min(cores, MOST_LANES)
        self.idle: SimpleQueue[_Lane] = SimpleQueue()
        with _quiet():
            path = prepared.file(f"mnn-{version('mnn')}.mnn", lambda part: _convert(prepared.onnx(), part))
            for _ in range(self.lanes):
                self.idle.put(_Lane(path, threads=cores // self.lanes, dimension=self.dimension))

    def encode(self, pixels: Pixels) -> Vectors:
        lane = self.idle.get()
        try:
            return lane.encode(pixels)
        finally:
            self.idle.put(lane)


class _Lane:
    """One network of MNN's.

    Through MNN's older interface, the interpreter, because that one lets other threads run Python while
    it computes; its `Module.forward` holds the interpreter lock and stops decoding.
    """

    def __init__(self, path: Path, *, threads: int, dimension: int) -> None:
        import MNN

        self.mnn: Any = MNN
        self.dimension = dimension
        self.interpreter: Any = MNN.Interpreter(str(path))
        # High precision is float32 throughout.
        settings = {"backend": "CPU", "numThread": threads, "precision": "high", "memory": "normal"}
        self.session: Any = self.interpreter.createSession(settings)
        self.input: Any = self.interpreter.getSessionInput(self.session, INPUT)

    def encode(self, pixels: Pixels) -> Vectors:
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)  # (B, 3, H, W)
        if tuple(self.input.getShape()) != images.shape:  # at the start, and for a last, smaller batch
            self.interpreter.resizeTensor(self.input, images.shape)
            self.interpreter.resizeSession(self.session)
        self.input.copyFrom(self._tensor(images))
        self.interpreter.runSession(self.session)
        vectors: Vectors = np.zeros((len(pixels), self.dimension), np.float32)
        output = self._tensor(vectors)
        self.interpreter.getSessionOutput(self.session, OUTPUT).copyToHostTensor(output)
        return np.array(output.getNumpyData(), dtype=np.float32).reshape(vectors.shape)

    def _tensor(self, values: Vectors) -> Any:
        mnn = self.mnn
        return mnn.Tensor(values.shape, mnn.Halide_Type_Float, values, mnn.Tensor_DimensionType_Caffe)


def _convert(onnx: Path, path: Path) -> None:
    import _tools

    with path.open("wb") as file:
        # The converter does not say that a disk is full. What it makes, and writes over this, is about as large.
        os.posix_fallocate(file.fileno(), 0, onnx.stat().st_size)
    _tools.mnnconvert(["-", "-f", "ONNX", "--modelFile", str(onnx), "--MNNModel", str(path), "--bizCode", "embedder"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Send what native code prints on stdout to nowhere: stdout is for our own report."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # what C holds back would come at the end, after our report
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
