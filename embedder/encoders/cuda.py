"""torch on a GPU: fixed batch shapes, captured graphs, and pixels copied as bytes.

Normalisation happens on the device, so that one byte for each channel crosses the bus instead of four. There are two
lanes, so that one batch is copied while the other is computed.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch

from embedder.encoders import Arithmetic
from embedder.encoders.lanes import Lanes
from embedder.encoders.pytorch import Normalized
from embedder.errors import ConfigurationError
from embedder.records import Pixels, Vectors

if TYPE_CHECKING:
    from embedder.encoders.prepared import Prepared

logger = logging.getLogger("embedder")

BATCH = 256
SMALLEST_BATCH = 1
FULL = (
    "the GPU's memory does not hold the model and one picture; end the other programs that use it (nvidia-smi lists "
    "them), or use --device cpu"
)
ALLOCATION_FAILED = ("out of memory", "alloc_failed")
LANES = 2
WARM_UP = 3
"""Calls before a graph is captured: in them the libraries choose their algorithms and take their memory."""


class CudaEncoder:
    """A network that torch runs on a GPU; see `Encoder`.

    All memory is taken at the start: a captured graph never asks for more. A batch that does not fit is halved until
    it does.

    Args:
        batch_size: pictures in a captured graph; smaller batches are padded to it, larger ones cut.
        device: another device than the first GPU. Without CUDA nothing is captured, which is for tests.

    Raises:
        ConfigurationError: there is no such device, its memory does not hold the model and one picture, or the
            weights cannot be had or do not fit.
    """

    engine = "torch"
    lanes = LANES

    def __init__(
        self,
        prepared: Prepared,
        arithmetic: Arithmetic = "float16",
        batch_size: int | None = None,
        device: str = "cuda",
    ) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigurationError(
                "--device cuda: torch finds no CUDA device here; use --device cpu, or check the driver with nvidia-smi"
            )
        self.arithmetic = arithmetic
        self.device = device
        self.dimension = prepared.network.dimension
        self.side = prepared.network.preprocessing.crop
        self.batch_size = batch_size or BATCH
        module = Normalized(prepared.network, arithmetic).optimized()
        try:
            self.module = module.to(device)
        except RuntimeError as error:
            if not _is_out_of_memory(error):
                raise
            raise ConfigurationError(FULL) from None
        self.pool = Lanes(self._open_lanes())

    def _open_lanes(self) -> list[_Lane]:
        """Open the lanes, with smaller batches where the memory does not hold them."""
        while True:
            try:
                return [_Lane(self.module, self.batch_size, self.side, self.device) for _ in range(LANES)]
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                if self.batch_size <= SMALLEST_BATCH:
                    raise ConfigurationError(FULL) from None
            # Outside the `except`: only here the exception no longer holds the lanes that did fit.
            if self.device == "cuda":
                torch.cuda.empty_cache()
            self.batch_size //= 2
            logger.warning("the GPU's memory is full: going on with batches of %s", self.batch_size)

    def encode(self, pixels: Pixels) -> Vectors:
        parts = np.split(pixels, range(self.batch_size, len(pixels), self.batch_size))
        with self.pool.borrow() as lane:
            vectors: Vectors = np.concatenate([lane.encode(part) for part in parts])
        return vectors


def _is_out_of_memory(error: BaseException | None) -> bool:
    """Say whether the GPU's memory was full.

    Only torch's own allocator has a class for this. Others report it in words: cuDNN and cuBLAS for their workspaces,
    CUDA for pinned memory and graphs. The end of a capture that failed hides the reason in its context.
    """
    if error is None:
        return False
    in_words = isinstance(error, RuntimeError) and any(each in str(error).lower() for each in ALLOCATION_FAILED)
    return isinstance(error, torch.OutOfMemoryError) or in_words or _is_out_of_memory(error.__context__)


def _kernels() -> AbstractContextManager[None]:
    """Let cuDNN time its kernels, which pays for shapes that never change, and keep float32 exact.

    By default cuDNN cuts float32 numbers to the 10 bits of TF32, which misses the bound of `--precision full`.
    """
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(enabled=True, benchmark=True, allow_tf32=False)
    return flags


class _Lane:
    """Buffers of one batch size, the graph that leads from one to the other, and the stream that runs it."""

    def __init__(self, module: Normalized, batch: int, side: int, device: str) -> None:
        on_gpu = device == "cuda"
        self.module = module
        self.stream = torch.cuda.Stream() if on_gpu else None  # type: ignore[no-untyped-call]
        # Pinned memory: the device copies from and to it by itself.
        self.staged = torch.zeros(batch, side, side, 3, dtype=torch.uint8, pin_memory=on_gpu)
        self.pixels = torch.zeros(batch, side, side, 3, dtype=torch.uint8, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        if self.stream is not None:
            self.stream.wait_stream(torch.cuda.current_stream())  # the buffers are zeroed there
        with self._streaming(), _kernels():
            self.vectors = self._capture() if on_gpu else self._forward()
        self.returned = torch.zeros(self.vectors.shape, dtype=self.vectors.dtype, pin_memory=on_gpu)

    def _streaming(self) -> AbstractContextManager[object]:
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)

    @torch.inference_mode()
    def _forward(self) -> torch.Tensor:
        # (B, H, W, 3) seen as (B, 3, H, W) is channels-last already: nothing is moved.
        vectors: torch.Tensor = self.module(self.pixels.permute(0, 3, 1, 2).float())
        return vectors

    def _capture(self) -> torch.Tensor:
        for _ in range(WARM_UP):
            self._forward()
        torch.cuda.synchronize()
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=self.stream):
            return self._forward()

    @torch.inference_mode()
    def encode(self, pixels: Pixels) -> Vectors:
        """Return the vectors of at most a batch of pictures."""
        count = len(pixels)
        self.staged[:count].copy_(torch.from_numpy(pixels))
        with self._streaming():
            self.pixels.copy_(self.staged, non_blocking=True)
            if self.graph is not None:
                self.graph.replay()
            else:
                self.vectors = self._forward()
            self.returned.copy_(self.vectors, non_blocking=True)
        if self.stream is not None:
            self.stream.synchronize()  # releases Python's lock
        vectors: Vectors = self.returned[:count].numpy().copy()
        return vectors
