"""Choosing how to run a network: the fastest way on this machine whose vectors are the reference's.

Which engine and which arithmetic is the fastest depends on the processor. So the first run on a machine times every
candidate on the golden pictures and remembers the result beside the prepared network. At every start the chosen one
proves again that it gives the reference's vectors.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from embedder.encoders import ENGINES, FALLBACKS, Arithmetic, Device, Encoder, Engine, Network, engine_names
from embedder.encoders.golden import golden_pictures
from embedder.encoders.prepared import GOLDEN, Prepared
from embedder.encoders.proof import UnusableError, prove
from embedder.errors import ConfigurationError, EmbedderError
from embedder.system.cores import processor, processor_flags, usable_cores
from embedder.system.files import recall, remember
from embedder.system.steps import step
from embedder.system.threads import parallel_map

logger = logging.getLogger("embedder")

REMEMBERED, REMEMBERED_FULL = "fastest.json", "fastest-full.json"
"""Where the choices are kept, beside the prepared network: among all arithmetics, and among those of float32."""

TIMED_PASSES = 3
"""How often each candidate encodes the golden pictures when the fastest is looked for."""

HOPELESS = 0.6
"""A candidate whose first pass has less than this part of the best rate is not timed again."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to run a network."""

    engine: Engine
    arithmetic: Arithmetic

    def __str__(self) -> str:
        return f"{self.engine.name} {self.arithmetic}"


def installed_engines() -> list[str]:
    """Return the names of the engines that can run on this machine's CPU."""
    return [each.name for each in ENGINES if each.device == "cpu" and each.installed]


def check_engine(name: str) -> None:
    """Raise ConfigurationError unless there is an engine of that name, or it is `auto`."""
    known = ["auto", *engine_names()]
    if name == "openvino-half":
        raise ConfigurationError(
            "--engine openvino-half is gone: --precision auto, the default, computes in half precision wherever that "
            "is faster and exact enough; use --engine openvino to insist on OpenVINO"
        )
    if name not in known:
        close = get_close_matches(name, known, n=1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise ConfigurationError(f"--engine {name}: {hint}expected one of {', '.join(known)}")


def open_encoder(
    network: Network,
    *,
    engine: str = "auto",
    device: str = "auto",
    precision: str = "auto",
    batch_size: int | None = None,
) -> Encoder:
    """Load a network in the fastest way that was not ruled out.

    Args:
        engine: `auto`, or the name of an engine.
        device: `auto`, `cpu` or `cuda`.
        precision: `auto` allows half precision where the vectors bear it; `full` computes in float32.
        batch_size: the most pictures that one `encode` will be given, where that is settled already.

    Raises:
        ConfigurationError: the engine is not installed or its vectors are not the reference's, there is no such
            device, or the weights cannot be had or do not fit.
    """
    full = precision == "full"
    found = candidates(engine, device, full=full)
    with Prepared.open(network) as prepared:
        if len(found) == 1:
            return open_candidate(found[0], prepared, batch_size, full=full)
        return _fastest(found, prepared, batch_size, full=full)


def measured_rates(network: Network) -> Mapping[str, float]:
    """Return the images a second of each candidate, as this machine measured them when it chose among all; empty if
    it never did."""
    with Prepared.open(network) as prepared:
        note = prepared.find(REMEMBERED)
        known = recall(note) if note else {}
    rates: Mapping[str, float] = known.get("rates") or {}
    return rates


def candidates(engine: str, device: str, *, full: bool) -> list[Candidate]:
    """List the ways to run a network that are worth trying on this machine; see `open_encoder`."""
    check_engine(engine)
    return [
        Candidate(each, arithmetic)
        for each in _engines(engine, device)
        for arithmetic, features in each.arithmetics.items()
        if arithmetic == "float32" or (not full and (not features or features & processor_flags()))
    ]


def _engines(name: str, device: str) -> list[Engine]:
    """Return the engines that were asked for, on the device that was asked for, and are installed."""
    named = [each for each in ENGINES if name in ("auto", each.name)]
    wanted: Device = "cuda" if device == "cuda" else "cpu"
    if device == "auto" and any(each.device == "cuda" for each in named) and _has_cuda():
        wanted = "cuda"
    found = [each for each in named if each.device == wanted]
    if not found:
        raise ConfigurationError(f"--engine {name} runs on the CPU only; use --engine torch with --device cuda")
    installed = [each for each in found if each.installed]
    if not installed:
        raise ConfigurationError(f"--engine {name} is not installed: pip install '.[{name}]', or use --engine torch")
    return installed


def _has_cuda() -> bool:
    """Say whether this machine has an NVIDIA driver with a device that torch can use.

    torch takes seconds to import. So it is asked only where the driver's device file is there.
    """
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/dxg").exists():
        return False
    import torch

    return torch.cuda.is_available()


def open_candidate(candidate: Candidate, prepared: Prepared, batch_size: int | None, *, full: bool) -> Encoder:
    """Load a network and prove its vectors.

    Raises:
        UnusableError: the engine cannot run the network, or its vectors are not the reference's.
    """
    try:
        encoder = candidate.engine.open(prepared, candidate.arithmetic, batch_size)
        if not (candidate.engine.trusted and candidate.arithmetic == "float32"):
            prove(encoder, prepared, full=full)
    except EmbedderError:
        raise
    # Whatever a third-party engine raises on a processor or a model that it does not know.
    except Exception as error:
        # OpenVINO puts lines that say where the error was raised before what went wrong.
        lines = [each for each in str(error).strip().split("\n") if not each.startswith("Exception from ")]
        said = lines[0][:200] if lines else "no reason given"
        raise UnusableError(
            f"the engine {candidate} cannot run {prepared.network.name} here: {type(error).__name__}: {said}; use "
            "--engine torch"
        ) from error
    return encoder


def _fastest(found: Sequence[Candidate], prepared: Prepared, batch_size: int | None, *, full: bool) -> Encoder:
    """Open the candidate that is known as the fastest on this machine, or find it out."""
    here = {
        "processor": processor(),
        "cores": usable_cores(),
        "candidates": [f"{each}, {_version(each.engine.distribution)}" for each in found],
        "pictures": GOLDEN,
        "full": full,
    }
    remembered_in = REMEMBERED_FULL if full else REMEMBERED
    note = prepared.find(remembered_in)
    known = recall(note) if note else {}
    if known.get("here") == here:
        remembered = [each for each in found if str(each) == known.get("fastest")]
        if opened := next(_usable(remembered, prepared, batch_size, full=full), None):
            return opened[1]
    if not prepared.keeps:  # as in a container: a measurement would be forgotten, and made again at every start
        expected = sorted(found, key=lambda each: each.arithmetic == "float32")
        for _, encoder in _usable(expected, prepared, batch_size, full=full):
            return encoder
        raise _none_usable(prepared)
    rates: dict[str, float] = {}
    best: Encoder | None = None
    with step("finding the fastest engine, once on this machine", total=len(found), unit="ways") as advance:
        for candidate in found:
            advance(1)
            if _superfluous(candidate, rates):
                continue
            for _, encoder in _usable([candidate], prepared, batch_size, full=full):
                rate = rates[str(candidate)] = _rate(encoder, prepared, max(rates.values(), default=0.0))
                if rate == max(rates.values()):
                    best = encoder  # at most two are in memory at once
    if best is None:
        raise _none_usable(prepared)
    if prepared.keeps:
        fastest = max(rates, key=lambda each: rates[each])
        # If that is not possible, as on a full disk, the next run measures again.
        remember(prepared.folder / remembered_in, {"here": here, "fastest": fastest, "rates": rates})
    return best


def _none_usable(prepared: Prepared) -> UnusableError:
    return UnusableError(
        f"no engine can run {prepared.network.name} here (the warnings say why); use --engine torch --device cpu"
    )


def _superfluous(candidate: Candidate, rates: Mapping[str, float]) -> bool:
    """Say whether a candidate cannot be the fastest, given the rates of those before it."""
    if candidate.engine.trusted and candidate.arithmetic == "float32":
        return any(each.endswith(" float32") for each in rates)  # the reference is the slowest in float32
    faster = FALLBACKS.get(candidate.arithmetic)
    return faster is not None and str(Candidate(candidate.engine, faster)) in rates


def _usable(
    found: Sequence[Candidate], prepared: Prepared, batch_size: int | None, *, full: bool
) -> Iterator[tuple[Candidate, Encoder]]:
    """Open each candidate in turn; warn of those that cannot be used, once if they need an export that fails."""
    for candidate in found:
        told = prepared.export_error
        try:
            yield candidate, open_candidate(candidate, prepared, batch_size, full=full)
        except UnusableError as error:
            if told is None or error.__cause__ is not told:
                logger.warning("%s is passed over: %s", candidate, error)


def _rate(encoder: Encoder, prepared: Prepared, best: float) -> float:
    """Measure images a second on all lanes: the best of a few passes, since other programs only slow one down.

    Args:
        best: the best rate so far.
    """
    pixels = golden_pictures(prepared.network.preprocessing.crop)[: encoder.batch_size]
    rate, lanes = 0.0, encoder.lanes
    for _ in range(TIMED_PASSES):
        began = time.perf_counter()
        for _ in parallel_map(encoder.encode, [pixels] * lanes, workers=lanes, depth=lambda: lanes, name="time"):
            pass
        rate = max(rate, lanes * len(pixels) / (time.perf_counter() - began))
        if rate < HOPELESS * best:
            break
    return rate


def _version(distribution: str) -> str:
    try:
        return f"{distribution} {version(distribution)}"
    except PackageNotFoundError:
        return f"{distribution} of an unknown version"
