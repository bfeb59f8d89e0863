"""OpenVINO: for processors on which it is faster than the others, newer ones of Intel's above all."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino

from embedder.cores import usable_cores
from embedder.encoders.prepared import INPUT, Prepared
from embedder.records import Pixels, Vectors

BATCH = 16


class OpenVINOEncoder:
    """A model run by OpenVINO on the CPU; see `Encoder`."""

    engine = "openvino"
    lanes = 1
    device = "cpu"
    batch_size = BATCH

    def __init__(self, prepared: Prepared) -> None:
        self.dimension = prepared.model.dimension
        settings = {
            # Left to itself it computes in bfloat16 where the processor can, and loses the third digit.
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": usable_cores(),
            "PERFORMANCE_HINT": "LATENCY",  # all cores on one batch, as there is one at a time
        }
        core = openvino.Core()
        # Read by the library itself: its converters in Python would report their use.
        compiled = core.compile_model(core.read_model(prepared.onnx()), "CPU", settings)
        self.request: Any = compiled.create_infer_request()

    def encode(self, pixels: Pixels) -> Vectors:
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)  # (B, 3, H, W)
        return np.array(self.request.infer({INPUT: images}, share_inputs=True)[0], dtype=np.float32)
