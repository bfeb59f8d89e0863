"""MNN: the fastest float32 engine on CPUs with AVX2, because it convolves by Winograd's method.

The package `MNN.tools` in its wheel installs a logging client and reports its use when it is imported. So it is never
imported here: the converter is called where it is implemented, in `_tools`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from embedder.encoders import Arithmetic
from embedder.encoders.lanes import Lanes, lanes_in, usual_batch
from embedder.encoders.prepared import INPUT, OUTPUT, Prepared
from embedder.records import Pixels, Vectors
from embedder.system.cores import usable_cores

ZEROS = bytes(1 << 20)


class MNNEncoder:
    """A network that MNN runs on the CPU; see `Encoder`.

    Each core has a lane with one thread and its own copy of the weights, as long as the memory has room for them. A
    lane that loses its core to decoding for a moment delays no other; the threads of a single lane would wait for each
    other at the end of every layer.
    """

    engine = "mnn"
    arithmetic = "float32"
    device = "cpu"

    def __init__(self, prepared: Prepared, _arithmetic: Arithmetic = "float32", _batch_size: int | None = None) -> None:
        self.dimension = prepared.network.dimension
        self.batch_size = usual_batch(prepared.network.preprocessing.crop)
        cores = usable_cores()
        with _quiet():
            path = prepared.file(f"mnn-{version('mnn')}.mnn", lambda part: _convert(prepared.onnx(), part))
            self.lanes = lanes_in(cores, weights=path.stat().st_size)
            self.pool = Lanes(
                [_Lane(path, threads=cores // self.lanes, dimension=self.dimension) for _ in range(self.lanes)]
            )

    def encode(self, pixels: Pixels) -> Vectors:
        with self.pool.borrow() as lane:
            return lane.encode(pixels)


class _Lane:
    """One network of MNN's.

    It goes through MNN's older interface, the interpreter, which releases Python's lock while it computes. The newer
    one, `Module.forward`, holds the lock, so that decoding stands still.
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
        # The converter does not report a full disk. Its file, which replaces this one, is about as large as the model.
        for _ in range(0, onnx.stat().st_size, len(ZEROS)):
            file.write(ZEROS)
    _tools.mnnconvert(["-", "-f", "ONNX", "--modelFile", str(onnx), "--MNNModel", str(path), "--bizCode", "embedder"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Discard what native code prints on stdout, where our own report goes."""
    sys.stdout.flush()
    kept = os.dup(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        ctypes.CDLL(None).fflush(None)  # else C's buffer would be printed at exit, after our report
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
