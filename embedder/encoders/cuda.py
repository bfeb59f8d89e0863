"""torch on a GPU: half precision, fixed batch shapes, captured graphs, pixels copied as bytes.

Normalisation happens on the device, so that one byte a channel crosses the bus instead of four. There are two
lanes, so that one batch is copied while the other one is computed.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager, nullcontext
from queue import SimpleQueue

import numpy as np
import torch

from embedder.encoders.pytorch import NormalizedBackbone, folded
from embedder.errors import ConfigurationError
from embedder.models.catalog import Model
from embedder.models.weights import Weights
from embedder.records import Pixels, Vectors

logger = logging.getLogger("embedder")

BATCH = 256
SMALLEST_BATCH = 1
FULL = (
    "the GPU's memory does not hold the model and one picture; end what else uses it (nvidia-smi lists it), or use "
    "--device cpu"
)
LANES = 2
WARM_UP = 3
"""Calls before a graph is captured, in which the libraries choose their algorithms and take their memory."""


class CudaEncoder:
    """A torchvision backbone run by torch on a GPU; see `Encoder`.

    All memory is taken at the start: a captured graph never asks for more. A batch that does not fit is
    halved until it does.

    Args:
        batch_size: pictures in a captured graph; smaller batches are padded to it, larger ones cut.
        half: compute in half precision, which some weights overflow.
        device: another device than the first GPU; without CUDA nothing is captured, which is for tests.

    Raises:
        ConfigurationError: there is no such device, its memory does not hold the model and one picture, or the
            weights cannot be had or do not fit.
    """

    engine = "torch"
    lanes = LANES

    def __init__(
        self,
        model: Model,
        weights: Weights,
        *,
        batch_size: int | None = None,
        half: bool = True,
        device: str = "cuda",
    ) -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigurationError(
                "--device cuda: torch finds no CUDA device here; use --device cpu, or check the driver with nvidia-smi"
            )
        self.device = device
        self.dimension = model.dimension
        self.side = model.preprocessing.crop
        self.batch_size = batch_size or BATCH
        module = NormalizedBackbone(model, weights)
        module.dtype = torch.float16 if half else torch.float32
        module.backbone = folded(module.backbone).to(module.dtype)
        try:
            self.module = module.to(device).to(memory_format=torch.channels_last)
        except torch.OutOfMemoryError:
            raise ConfigurationError(FULL) from None
        self.idle: SimpleQueue[_Lane] = SimpleQueue()
        for lane in self._open_lanes():
            self.idle.put(lane)

    def _open_lanes(self) -> list[_Lane]:
        """Open the lanes, with smaller batches where the memory does not hold them."""
        while True:
            try:
                return [_Lane(self.module, self.batch_size, self.side, self.device) for _ in range(LANES)]
            except torch.OutOfMemoryError:
                if self.batch_size <= SMALLEST_BATCH:
                    raise ConfigurationError(FULL) from None
            # Here, where the lanes that did fit have gone with the exception.
            if self.device == "cuda":
                torch.cuda.empty_cache()
            self.batch_size //= 2
            logger.warning("the GPU's memory is full: going on with batches of %s", self.batch_size)

    def encode(self, pixels: Pixels) -> Vectors:
        parts = np.split(pixels, range(self.batch_size, len(pixels), self.batch_size))
        lane = self.idle.get()
        try:
            vectors: Vectors = np.concatenate([lane.encode(part) for part in parts])
            return vectors
        finally:
            self.idle.put(lane)


class _Lane:
    """Buffers of one size, the graph that goes from one to the other, and the stream in which all happens."""

    def __init__(self, module: NormalizedBackbone, batch: int, side: int, device: str) -> None:
        on_gpu = device == "cuda"
        self.module = module
        self.stream = torch.cuda.Stream() if on_gpu else None  # type: ignore[no-untyped-call]
        # Pinned: the device copies from and to it by itself.
        self.staged = torch.zeros(batch, side, side, 3, dtype=torch.uint8, pin_memory=on_gpu)
        self.pixels = torch.zeros(batch, side, side, 3, dtype=torch.uint8, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        if self.stream is not None:
            self.stream.wait_stream(torch.cuda.current_stream())  # what was zeroed there is used here
        with self._streaming():
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
            self.stream.synchronize()  # other threads run meanwhile
        vectors: Vectors = self.returned[:count].numpy().copy()
        return vectors
