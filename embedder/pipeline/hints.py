"""What would have made a run faster, where that is known."""

from __future__ import annotations

from embedder.encoders import Encoder
from embedder.encoders.choice import installed_engines
from embedder.options import RunOptions
from embedder.pipeline.ledger import Tally
from embedder.pipeline.recipe import Recipe
from embedder.system.cores import usable_cores

LEAST_SECONDS = 10.0
"""A run that embeds for less time than this needs no hint."""
BUSY = 0.7
"""A stage whose threads are busy for this part of the time is the limit."""
WORTHWHILE = 1.3
"""A hint is given from this many times the speed on."""


def hint(recipe: Recipe, options: RunOptions, encoder: Encoder | None, tally: Tally, seconds: float) -> str | None:
    """Return a sentence about the slowest stage, if an option or a package would help; else None.

    Args:
        encoder: what ran the model; None if nothing did.
        seconds: how long the run took.
    """
    if encoder is None:
        return None
    embedding = seconds - tally.seconds.get("load", 0.0)
    if embedding < LEAST_SECONDS:
        return None
    if tally.seconds.get("encode", 0.0) >= BUSY * embedding * encoder.lanes:
        remedy = _faster_encoder(recipe, options, encoder)
        return f"the model was the limit; {remedy}" if remedy else None
    workers, cores = options.workers or usable_cores(), usable_cores()
    if workers < cores and tally.seconds.get("decode", 0.0) >= BUSY * embedding * workers:
        return f"decoding was the limit; --workers {cores} uses every core"
    return None


def _faster_encoder(recipe: Recipe, options: RunOptions, encoder: Encoder) -> str | None:
    chosen = [f"--precision {options.precision}"] if options.precision == "full" else []
    chosen += [f"--engine {options.engine}"] if options.engine != "auto" else []
    if chosen:
        rates = recipe.measured()
        own = rates.get(f"{encoder.engine} {encoder.arithmetic}")
        times = max(rates.values()) / own if own else 0.0
        return f"without {' '.join(chosen)} it would be {times:.1f} times as fast" if times >= WORTHWHILE else None
    if encoder.engine == "torch" and encoder.device == "cpu" and installed_engines() == ["torch"]:
        return "pip install '.[mnn]' makes it about twice as fast on a CPU"
    return None
