"""OpenVINO: the fastest engine on CPUs that multiply bfloat16 matrices, as Intel's do since Sapphire Rapids (AMX)."""

from __future__ import annotations

from typing import Any

import numpy as np
import openvino

from embedder.encoders import Arithmetic
from embedder.encoders.lanes import Lanes, lanes_in, usual_batch
from embedder.encoders.prepared import INPUT, Prepared
from embedder.records import Pixels, Vectors
from embedder.system.cores import usable_cores

HINTS: dict[Arithmetic, str] = {"float32": "f32", "bfloat16": "bf16", "float16": "f16", "bfloat16-split": "bf16"}
"""Left to itself, OpenVINO computes in bfloat16 wherever the processor can."""


class OpenVINOEncoder:
    """A network that OpenVINO runs on the CPU; see `Encoder`.

    Each core has a lane, so that one batch is prepared while another is computed.
    """

    engine = "openvino"
    device = "cpu"

    def __init__(self, prepared: Prepared, arithmetic: Arithmetic = "float32", _batch_size: int | None = None) -> None:
        self.arithmetic = arithmetic
        self.dimension = prepared.network.dimension
        self.batch_size = usual_batch(prepared.network.preprocessing.crop)
        cores = usable_cores()
        self.lanes = lanes_in(cores, weights=0)
        settings = {
            "INFERENCE_PRECISION_HINT": HINTS[arithmetic],
            "INFERENCE_NUM_THREADS": cores,
            "NUM_STREAMS": self.lanes,
        }
        core = openvino.Core()
        # The library reads ONNX itself. Its converters in Python would report their use.
        graph = core.read_model(prepared.onnx())
        if arithmetic == "bfloat16-split":
            split_weights(graph)
        compiled = core.compile_model(graph, "CPU", settings)
        self.pool: Lanes[Any] = Lanes([compiled.create_infer_request() for _ in range(self.lanes)])

    def encode(self, pixels: Pixels) -> Vectors:
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2), dtype=np.float32)  # (B, 3, H, W)
        with self.pool.borrow() as request:
            return np.array(request.infer({INPUT: images}, share_inputs=True)[0], dtype=np.float32)


def split_weights(graph: Any) -> None:
    """Replace every convolution and matrix product by two whose weights add up: the high and the low bfloat16 half.

    A bfloat16 number keeps 8 bits of a weight's 24; the two halves together keep 16.
    """
    from openvino import opset13 as ops

    makers = {"Convolution": ops.convolution, "GroupConvolution": ops.group_convolution, "MatMul": ops.matmul}
    for node in graph.get_ordered_ops():
        make = makers.get(node.get_type_name())
        if make is None or (weights := node.input_value(1).get_node()).get_type_name() != "Constant":
            continue
        whole = weights.get_data().astype(np.float32)
        high = _truncated(whole)
        halves = [
            make(node.input_value(0), ops.constant(values), **node.get_attributes()) for values in (high, whole - high)
        ]
        node.output(0).replace(ops.add(*halves).output(0))


def _truncated(values: Vectors) -> Vectors:
    """Cut float32 numbers to the 16 bits that bfloat16 keeps."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    truncated: Vectors = (bits & np.uint32(0xFFFF0000)).view(np.float32)
    return truncated
