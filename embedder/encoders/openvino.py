"""OpenVINO: for processors on which it is faster than the others, newer ones of Intel's above all."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino

from embedder.encoders.prepared import INPUT, Prepared
from embedder.records import Pixels, Vectors
from embedder.system.cores import usable_cores

BATCH = 16

MOST_LANES = 8
"""Each costs a batch's intermediate results, about 100 MB."""


class OpenVINOEncoder:
    """A model run by OpenVINO on the CPU; see `Encoder`.

    A lane per core, so that one batch is made ready while another is computed; they share the weights.

    Args:
        half: compute in half precision where the processor can. Several times as fast with AMX; vectors keep
            cosine 0.9999 but not the relative error of 1e-3, so nobody gets it who has not asked for it.
    """

    device = "cpu"
    batch_size = BATCH

    def __init__(self, prepared: Prepared, *, half: bool = False) -> None:
        self.engine = "openvino-half" if half else "openvino"
        self.dimension = prepared.model.dimension
        cores = usable_cores()
        self.lanes = min(cores, MOST_LANES)
        settings = {
            # Left to itself it computes in bfloat16 where the processor can, and loses the third digit.
            "INFERENCE_PRECISION_HINT": "f16" if half else "f32",
            "INFERENCE_NUM_THREADS": cores,
            "NUM_STREAMS": self.lanes,
        }
        core = openvino.Core()
        # Read by the library itself: its converters in Python would report their use.
        compiled = core.compile_model(core.read_model(prepared.onnx()), "CPU", settings)
        self.idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(self.lanes):
            self.idle.put(compiled.create_infer_request())

    def encode(self, pixels: Pixels) -> Vectors:
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)  # (B, 3, H, W)
        request = self.idle.get()
        try:
            return np.array(request.infer({INPUT: images}, share_inputs=True)[0], dtype=np.float32)
        finally:
            self.idle.put(request)
