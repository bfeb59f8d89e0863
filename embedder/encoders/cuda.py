"""torch on a GPU: half precision, fixed batch shapes, one captured graph, pixels copied as bytes.

Normalisation happens on the device, so that one byte a channel crosses the bus instead of four.
"""

from __future__ import annotations

import logging

import numpy as np
import torch

from embedder.encoders.pytorch import NormalizedBackbone, folded
from embedder.errors import ConfigurationError
from embedder.models import Model
from embedder.records import Pixels, Vectors
from embedder.weights import Weights

logger = logging.getLogger("embedder")

BATCH = 256
SMALLEST_BATCH = 1
WARM_UP = 3
"""Calls before a graph is captured, in which the libraries choose their algorithms and take their memory."""


class CudaEncoder:
    """A torchvision backbone run by torch on a GPU; see `Encoder`.

    A batch that does not fit into the GPU's memory is halved until it does, and stays so.

    Args:
        batch_size: pictures in the captured graph; smaller batches are padded to it, larger ones cut.
        device: another device than the first GPU; without CUDA nothing is captured, which is for tests.

    Raises:
        ConfigurationError: there is no such device, or the weights cannot be had or do not fit.
    """

    engine = "torch"
    lanes = 1

    def __init__(self, model: Model, weights: Weights, *, batch_size: int | None = None, device: str = "cuda") -> None:
        if device == "cuda" and not torch.cuda.is_available():
            raise ConfigurationError(
                "--device cuda: torch finds no CUDA device here; use --device cpu, or check the driver with nvidia-smi"
            )
        self.device = device
        self.dimension = model.dimension
        self.side = model.preprocessing.crop
        self.batch_size = batch_size or BATCH
        module = NormalizedBackbone(model, weights)
        module.dtype = torch.float16
        module.backbone = folded(module.backbone).to(module.dtype)
        self.module = module.to(device).to(memory_format=torch.channels_last)
        self.lane: _Lane | None = None

    def encode(self, pixels: Pixels) -> Vectors:
        while True:
            try:
                if self.lane is None:
                    self.lane = _Lane(self.module, self.batch_size, self.side, self.device)
                parts = np.split(pixels, range(self.batch_size, len(pixels), self.batch_size))
                vectors: Vectors = np.concatenate([self.lane.encode(part) for part in parts])
                return vectors
            except torch.OutOfMemoryError:
                if self.batch_size <= SMALLEST_BATCH:
                    raise
                self._halve()

    def _halve(self) -> None:
        self.lane = None
        if self.device == "cuda":
            torch.cuda.empty_cache()
        self.batch_size //= 2
        logger.warning("the GPU's memory is full: going on with batches of %s", self.batch_size)


class _Lane:
    """Buffers of one size, and the graph that goes from one to the other."""

    def __init__(self, module: NormalizedBackbone, batch: int, side: int, device: str) -> None:
        on_gpu = device == "cuda"
        self.module = module
        self.staged = torch.zeros(batch, side, side, 3, dtype=torch.uint8, pin_memory=on_gpu)
        self.pixels = torch.zeros(batch, side, side, 3, dtype=torch.uint8, device=device)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.vectors = self._forward() if not on_gpu else self._capture()

    @torch.inference_mode()
    def _forward(self) -> torch.Tensor:
        # (B, H, W, 3) seen as (B, 3, H, W) is channels-last already: nothing is moved.
        vectors: torch.Tensor = self.module(self.pixels.permute(0, 3, 1, 2).float())
        return vectors

    def _capture(self) -> torch.Tensor:
        side_stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(WARM_UP):
                self._forward()
        torch.cuda.current_stream().wait_stream(side_stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            return self._forward()

    def encode(self, pixels: Pixels) -> Vectors:
        """Return the vectors of at most a batch of pictures."""
        count = len(pixels)
        self.staged[:count].copy_(torch.from_numpy(pixels))
        self.pixels.copy_(self.staged, non_blocking=True)
        if self.graph is not None:
            self.graph.replay()
        else:
            self.vectors = self._forward()
        # Copying to ordinary memory waits for the graph; other threads run meanwhile.
        vectors: Vectors = self.vectors[:count].cpu().numpy()
        return vectors
