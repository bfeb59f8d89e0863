"""Choosing an engine: the fastest one that is installed here and agrees with the reference.

On a CPU the engines differ by the processor as much as by themselves, so the first run on a machine
times each that is installed on a few pictures and remembers the result beside the prepared model. Every
engine but torch itself proves at every start that it still gives the reference's vectors.
"""

from __future__ import annotations

import json
import logging
import math
import time
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from embedder.encoders import Encoder
from embedder.encoders.prepared import Prepared
from embedder.errors import ConfigurationError, EmbedderError
from embedder.models.catalog import Model
from embedder.models.weights import Weights
from embedder.records import Pixels, Vectors
from embedder.system.atomic import replacing
from embedder.system.cores import processor, usable_cores
from embedder.system.threads import parallel_map

logger = logging.getLogger("embedder")

LEAST_COSINE = 0.9999
"""What every vector keeps to the reference, eager float32 torch."""

LEAST_COSINE_ON_GPU = 0.999
"""The same for half precision."""

LARGEST_ERROR = 1e-3
"""How far vectors may be from the reference's, as a part of their length, for an engine that nobody named."""

PACKAGES = {"mnn": ("MNN", "mnn"), "openvino": ("openvino", "openvino")}
"""Engine → the module and the distribution it needs, the usually fastest first."""

HALF = "-half"
"""At the end of an engine's name: in half precision, which is only done when asked for."""

REMEMBERED = "fastest.json"
"""Where the choice is kept, beside the prepared model."""

TIMED_PASSES = 3
"""How often each engine encodes the golden pictures when the fastest is looked for."""


class UnusableError(ConfigurationError):
    """An engine cannot run this model on this machine, or does not give the reference's vectors."""


def installed_engines() -> list[str]:
    """The engines that can run here, torch last."""
    return [engine for engine, (module, _) in PACKAGES.items() if find_spec(module)] + ["torch"]


def open_encoder(model: Model, weights: Weights, *, engine: str, device: str, batch_size: int | None = None) -> Encoder:
    """Load a model into the engine asked for, or into the fastest for `auto`.

    Args:
        engine: `auto`, `torch`, `mnn`, `openvino` or `openvino-half`.
        device: `auto`, `cpu` or `cuda`.
        batch_size: the most pictures that one `encode` will be given, where that is settled already.

    Raises:
        ConfigurationError: the engine is not installed or does not agree with the reference, there is no
            such device, or the weights cannot be had or do not fit.
    """
    if _on_cuda(engine, device):
        with Prepared.open(model, weights) as prepared:
            return _open_on_cuda(prepared, batch_size)
    if engine == "torch":
        from embedder.encoders.pytorch import TorchEncoder

        return TorchEncoder(model, weights)
    with Prepared.open(model, weights) as prepared:
        if engine != "auto":
            return _usable(engine, prepared)
        return _fastest(prepared)


def _on_cuda(engine: str, device: str) -> bool:
    """Whether the work goes to a GPU, which only torch does."""
    if engine not in ("auto", "torch"):
        if device == "cuda":
            raise ConfigurationError(f"--engine {engine} runs on the CPU only; use --engine torch with --device cuda")
        return False
    return device == "cuda" or (device == "auto" and _has_cuda())


def _open_on_cuda(prepared: Prepared, batch_size: int | None) -> Encoder:
    """Load a model into the GPU: in half precision, or in full where its weights do not bear that."""
    from embedder.encoders.cuda import CudaEncoder

    model, weights = prepared.model, prepared.weights
    try:
        return _proven(CudaEncoder(model, weights, batch_size=batch_size), prepared, LEAST_COSINE_ON_GPU)
    except UnusableError as error:
        logger.warning("half precision is passed over: %s", error)
    return _proven(CudaEncoder(model, weights, batch_size=batch_size, half=False), prepared, LEAST_COSINE_ON_GPU)


def _has_cuda() -> bool:
    """Whether this machine has an NVIDIA driver with a device, and torch can use it.

    torch takes seconds to import, so it is asked only where the driver's device file says that there is
    something to ask about.
    """
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return False
    import torch

    return torch.cuda.is_available()


def _opened(engine: str, prepared: Prepared) -> Encoder:
    extra = engine.removesuffix(HALF)
    module, _ = PACKAGES[extra]
    if not find_spec(module):
        raise ConfigurationError(f"--engine {engine} is not installed: pip install '.[{extra}]', or use --engine torch")
    if engine == "mnn":
        from embedder.encoders.mnn import MNNEncoder

        return MNNEncoder(prepared)
    from embedder.encoders.openvino import OpenVINOEncoder

    return OpenVINOEncoder(prepared, half=engine.endswith(HALF))


def _usable(engine: str, prepared: Prepared, largest: float = math.inf) -> Encoder:
    """Open an engine and prove it.

    Raises:
        UnusableError: it does not work, or not as the reference does.
    """
    try:
        return _proven(_opened(engine, prepared), prepared, largest=largest)
    except EmbedderError:
        raise
    # Whatever a third-party engine raises on a processor or a model it does not know.
    except Exception as error:
        # OpenVINO puts where it was raised in lines of their own before what went wrong.
        lines = [each for each in str(error).strip().split("\n") if not each.startswith("Exception from ")]
        said = lines[0][:200] if lines else "no reason given"
        raise UnusableError(
            f"the engine {engine} cannot run {prepared.model.name} here: {type(error).__name__}: {said}; use "
            "--engine torch"
        ) from error


def _proven(encoder: Encoder, prepared: Prepared, least: float = LEAST_COSINE, *, largest: float = math.inf) -> Encoder:
    """Return the encoder if it gives the reference's vectors.

    Args:
        least: the cosine that each vector has to keep.
        largest: the relative error that each may have.

    Raises:
        UnusableError: it does not.
    """
    found = agreement(encoder, prepared)
    if not found.cosine >= least:  # also when it is not a number
        raise UnusableError(
            f"the engine {encoder.engine} does not agree with torch on this machine (cosine {found.cosine:.5f}, needed "
            f"{least}); use --engine torch --device cpu"
        )
    if not found.error <= largest:
        raise UnusableError(
            f"the engine {encoder.engine} has a relative error of {found.error:.1e} for {prepared.model.name}, "
            f"allowed is {largest:g}"
        )
    return encoder


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near an engine's vectors of the golden pictures are to the reference's: those of the worst picture."""

    cosine: float
    error: float
    """The difference's length, as a part of the vector's."""


def agreement(encoder: Encoder, prepared: Prepared) -> Agreement:
    """Have an engine encode the golden pictures, and compare."""
    pixels, expected = prepared.golden()
    found, expected = encoder.encode(pixels).astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):
        errors = np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)
    return Agreement(float(cosines(found, expected).min()), float(errors.max()))


def cosines(vectors: Vectors, others: Vectors) -> Vectors:
    """Row-wise cosine of two (n, D) arrays, as (n,) float64."""
    a, b = vectors.astype(np.float64), others.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    with np.errstate(invalid="ignore"):
        cosine: Vectors = (a * b).sum(axis=1) / lengths
    return cosine


def _fastest(prepared: Prepared) -> Encoder:
    """Open the fastest engine; torch, the slowest on every CPU measured, only where no other works."""
    engines = installed_engines()[:-1]
    here = {
        "processor": processor(),
        "cores": usable_cores(),
        "versions": {name: _version(name) for name in [*engines, "onnx"]},
    }
    known = _read(prepared.find(REMEMBERED))
    decided = known is not None and known["here"] == here
    if known and decided:
        engines = [known["engine"]] if known["engine"] in engines else []
    candidates = [each for each in (_candidate(engine, prepared) for engine in engines) if each is not None]
    pixels = prepared.golden()[0] if len(candidates) > 1 else None
    rates = {each.engine: 0.0 if pixels is None else _rate(each, pixels) for each in candidates}
    best = max(candidates, key=lambda each: rates[each.engine], default=None)
    if not decided and prepared.keeps:
        # A full disk: then the engines are timed every time.
        with suppress(OSError), replacing(prepared.folder / REMEMBERED) as part:
            part.write_text(json.dumps({"here": here, "rates": rates, "engine": best.engine if best else "torch"}))
    if best is not None:
        return best
    from embedder.encoders.pytorch import TorchEncoder

    return TorchEncoder(prepared.model, prepared.weights)


def _candidate(engine: str, prepared: Prepared) -> Encoder | None:
    """Open one engine; that it does not work here is no error, since another will."""
    try:
        return _usable(engine, prepared, LARGEST_ERROR)
    except UnusableError as error:
        logger.warning("passed over: %s", error)
    return None


def _rate(encoder: Encoder, pixels: Pixels) -> float:
    """Images a second on all lanes, once warm: the best of a few passes, since other programs only slow one down."""
    passes = []
    for _ in range(TIMED_PASSES):
        began = time.perf_counter()
        work = [pixels] * encoder.lanes
        for _ in parallel_map(encoder.encode, work, workers=encoder.lanes, depth=lambda: encoder.lanes, name="time"):
            pass
        passes.append(time.perf_counter() - began)
    return encoder.lanes * len(pixels) / min(passes)


def _version(engine: str) -> str:
    try:
        return version(PACKAGES[engine][1] if engine in PACKAGES else engine)
    except PackageNotFoundError:
        return "unknown"


def _read(path: Path | None) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text()) if path else None
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and {"here", "engine", "rates"} <= set(found) else None
