"""Decides how a run makes its vectors: with a model and its weights, or with the caller's own encoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from embedder.decoding.probe import preprocessing_version
from embedder.encoders import Encoder
from embedder.encoders.choice import check_engine, measured_rates, open_encoder
from embedder.encoders.own import Adapter, OwnEncoder
from embedder.models.catalog import find_model
from embedder.models.checkpoint import Checkpoint
from embedder.options import RunOptions
from embedder.records import Fingerprint, Preprocessing

OWN = "own"
"""Replaces the weights' digest in the fingerprint of a caller's own encoder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How to make vectors. Nothing is loaded until `open_encoder` is called."""

    fingerprint: Fingerprint
    dimension: int
    preprocessing: Preprocessing
    open_encoder: Callable[[], Encoder]
    measured: Callable[[], Mapping[str, float]] = dict
    """Returns the images a second of each engine and arithmetic, if this machine has ever measured them."""


def recipe(options: RunOptions, own: OwnEncoder | None) -> Recipe:
    """Decide how a run makes its vectors.

    Args:
        own: the caller's encoder, if any. It replaces `--model`, `--weights`, `--engine` and `--precision`.

    Raises:
        ConfigurationError: there is no such model, no such engine, or no such file of weights.
    """
    return _with_model(options) if own is None else _with_encoder(options, own)


def fingerprint_here(checkpoint: Checkpoint, data_type: str, *, normalize: bool | None) -> Fingerprint:
    """Return the fingerprint of the vectors that a checkpoint produces from what is decoded by the libraries installed
    here; see `Checkpoint.fingerprint`."""
    return checkpoint.fingerprint(data_type, normalize=normalize, preprocessing=preprocessing_version())


def _with_model(options: RunOptions) -> Recipe:
    check_engine(options.engine)
    checkpoint = Checkpoint.find(find_model(options.model), options.weights)
    return Recipe(
        fingerprint=fingerprint_here(checkpoint, options.dtype, normalize=options.normalize),
        dimension=checkpoint.dimension,
        preprocessing=checkpoint.preprocessing,
        open_encoder=lambda: open_encoder(
            checkpoint,
            engine=options.engine,
            device=options.device,
            precision=options.precision,
            batch_size=options.batch_size,
        ),
        measured=lambda: measured_rates(checkpoint),
    )


def _with_encoder(options: RunOptions, own: OwnEncoder) -> Recipe:
    adapter = Adapter(own, options.batch_size)
    return Recipe(
        fingerprint=Fingerprint(
            model=own.name,
            digest=OWN,
            preprocessing=preprocessing_version(),
            data_type=options.dtype,
            normalized=bool(options.normalize),
        ),
        dimension=adapter.dimension,
        preprocessing=own.preprocessing,
        open_encoder=lambda: adapter,
    )
