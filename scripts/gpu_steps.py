"""The steps of `scripts/gpu` that are more than a contestant of the benchmark, each alone in a process of its own.

`python -m scripts.gpu_steps NAME PHOTOGRAPHS WEIGHTS --device cuda` prints one JSON list: a row for the table each.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional
from torchvision.io import ImageReadMode, decode_jpeg

from embedder.decoding.decoder import Decoder
from embedder.encoders import Arithmetic, Encoder
from embedder.encoders.cuda import CudaEncoder
from embedder.encoders.prepared import Prepared
from embedder.encoders.proof import agreement, cosines
from embedder.models.catalog import RESNET18
from embedder.models.checkpoint import Checkpoint
from embedder.options import DEFAULT_MAX_PIXELS
from embedder.records import Pixels, Preprocessing
from embedder.system.threads import parallel_map

ARITHMETICS: dict[str, tuple[Arithmetic, ...]] = {"cuda": ("float16", "float32"), "cpu": ("float32",)}
"""By device. CPUs without instructions for float16 take seconds for a picture in it."""
COMPARED = 128
"""Photographs whose vectors are compared."""
DECODED_BATCH = 128
"""JPEGs that the device is given at once."""

Row = dict[str, Any]
"""`title`, `rate` in images/s, and `note`."""


def encode(photographs: list[Path], weights: Path, given: argparse.Namespace) -> list[Row]:
    """The network alone, by batch size and arithmetic, on pixels that are decoded already."""
    pixels = _pixels(photographs[: max(given.batches)])
    rows = []
    with Prepared.open(Checkpoint.find(RESNET18, str(weights))) as prepared:
        for arithmetic in ARITHMETICS[given.device]:
            for size in given.batches:
                encoder = CudaEncoder(prepared, arithmetic, size, device=given.device)
                batch = np.resize(pixels, (encoder.batch_size, *pixels.shape[1:]))
                rate = _rate(encoder, batch, given.seconds)
                found = agreement(encoder, prepared)
                title = f"encode alone, {arithmetic}, batches of {encoder.batch_size}"
                note = f"golden pictures: cosine {found.cosine:.6f}, relative error {found.error:.1e}"
                rows.append({"title": title, "rate": rate, "note": note})
                del encoder  # its memory is for the next one
    return rows


def _rate(encoder: Encoder, batch: Pixels, seconds: float) -> float:
    """Measure images a second on all lanes, for about so many seconds."""
    lanes = encoder.lanes
    encoder.encode(batch)
    count, began = 0, time.perf_counter()

    def batches() -> Iterator[Pixels]:
        while time.perf_counter() - began < seconds:
            yield batch

    for vectors in parallel_map(encoder.encode, batches(), workers=lanes, depth=lambda: lanes + 1, name="encode"):
        count += len(vectors)
    return count / (time.perf_counter() - began)


def device(photographs: list[Path], weights: Path, given: argparse.Namespace) -> list[Row]:
    """JPEGs decoded in batches and resized on the device, and how near its vectors come to ours."""
    prepared_by = RESNET18.preprocessing
    with Prepared.open(Checkpoint.find(RESNET18, str(weights))) as prepared:
        some = photographs[:COMPARED]
        encoder = CudaEncoder(prepared, ARITHMETICS[given.device][0], len(some), device=given.device)
        with torch.inference_mode():
            theirs = encoder.module(_decoded(some, prepared_by, given.device).float()).cpu().numpy()
        near = cosines(theirs, encoder.encode(_pixels(some)))

        def decode(paths: Sequence[Path]) -> torch.Tensor:
            return _decoded(paths, prepared_by, given.device)

        def embed(paths: Sequence[Path]) -> torch.Tensor:
            vectors: torch.Tensor = encoder.module(decode(paths).float())
            return vectors

        note = f"cosine to our vectors: least {near.min():.6f}, median {np.median(near):.6f}"
        return [
            {"title": "decode and resize on the device", "rate": _rate_of(decode, photographs), "note": ""},
            {"title": "decode, resize and encode on it", "rate": _rate_of(embed, photographs), "note": note},
        ]


def _decoded(paths: Sequence[Path], preprocessing: Preprocessing, on: str) -> torch.Tensor:
    """Decode on a device, resize there, and cut the centre: (B, 3, crop, crop) uint8, channels last."""
    coded = [torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8) for path in paths]
    side, crop = preprocessing.resize, preprocessing.crop
    cut = []
    for image in decode_jpeg(coded, mode=ImageReadMode.RGB, device=on):
        height, width = image.shape[1:]
        size = (side, side * width // height) if height <= width else (side * height // width, side)
        small = functional.interpolate(image[None].float(), size=size, mode="bilinear", antialias=True)
        top, left = (round((each - crop) / 2) for each in size)
        cut.append(small[0, :, top : top + crop, left : left + crop].round().clamp(0, 255).to(torch.uint8))
    return torch.stack(cut).contiguous(memory_format=torch.channels_last)


@torch.inference_mode()
def _rate_of(function: Callable[[Sequence[Path]], torch.Tensor], photographs: list[Path]) -> float:
    """Measure images a second, the last result brought back to the host each time."""
    groups = [photographs[at : at + DECODED_BATCH] for at in range(0, len(photographs), DECODED_BATCH)]
    function(groups[0]).cpu()
    began = time.perf_counter()
    for group in groups:
        function(group).cpu()
    return len(photographs) / (time.perf_counter() - began)


def _pixels(paths: Sequence[Path]) -> Pixels:
    decoder = Decoder(RESNET18.preprocessing, max_pixels=DEFAULT_MAX_PIXELS)
    return np.stack([decoder.decode(path.read_bytes()).pixels for path in paths])


STEPS: dict[str, Callable[[list[Path], Path, argparse.Namespace], list[Row]]] = {"encode": encode, "device": device}


def main() -> None:
    """Take one step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=STEPS)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batches", type=lambda text: [int(each) for each in text.split(",")], default=[256])
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    print(json.dumps(STEPS[given.name](sorted(given.photographs.iterdir()), given.weights, given)))


if __name__ == "__main__":
    main()
