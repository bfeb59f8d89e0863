"""From names and options to a finished run: opens what the pipeline joins, and closes the books."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedder import exit_codes
from embedder.config import RunOptions
from embedder.encoders import Encoder
from embedder.errors import ConfigurationError
from embedder.ledger import Ledger
from embedder.models import Model, find_model, fingerprint
from embedder.pipeline import Pipeline, mixed
from embedder.pruning import prune
from embedder.report import Report
from embedder.sources import Collection, Source, open_source
from embedder.stop import Stop
from embedder.stores import Store, open_store
from embedder.weights import Weights, find_weights

Progress = Callable[[Ledger, int | None], None]
"""Called now and then with the books so far and the number of images, where it is known."""


def embed(
    source: str | Path, store: str | Path = "vectors.db", *, progress: Progress | None = None, **options: Any
) -> Report:
    """Embed a source's images into a store, as `embedder run` does.

    Args:
        source: a folder, an image file, `s3://bucket/prefix/`, or a shard file.
        store: the path of a SQLite file, or `dynamodb://table`.
        progress: called with the books as they fill.
        options: those of `embedder run`, with `_` for `-`: `model`, `weights`, `batch_size`, …

    Returns:
        The report; its `exit_code` is 0 when all is well. Images that failed do not raise.

    Raises:
        ConfigurationError: what was asked for cannot be done as asked.
        TransientError: the source or the store does not answer at the start.
    """
    return run(str(source), str(store), RunOptions.resolve(options), progress=progress)


def run(
    source_name: str,
    store_name: str,
    options: RunOptions,
    *,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> Report:
    """Embed a source's images into a store; see `embed`.

    Args:
        stop: through it another thread or a signal handler may end the run early.
    """
    stop = stop or Stop()
    model = find_model(options.model)
    weights = find_weights(options.weights, model)
    identity = fingerprint(model, weights.digest, options.dtype, normalize=options.normalize)
    source = open_source(source_name, options, stopping=stop.event)
    store = open_store(store_name, stopping=stop.event)
    try:
        store.prepare()
        _refuse_mixture(store, identity, options)
        return _run(source, store, model, weights, identity, options, progress, stop)
    finally:
        store.close()


def _run(
    source: Source,
    store: Store,
    model: Model,
    weights: Weights,
    identity: str,
    options: RunOptions,
    progress: Progress | None,
    stop: Stop,
) -> Report:
    ledger = Ledger(options.failures)
    pipeline = Pipeline(
        source,
        store,
        fingerprint=identity,
        preprocessing=model.preprocessing,
        open_encoder=lambda: open_encoder(model, weights, options),
        options=options,
        ledger=ledger,
        stop=stop,
        progress=lambda books: progress(books, source.total) if progress else None,
    )
    try:
        pipeline.run()
        if not ledger.images and not stop.requested:
            raise _no_images(source)
        if options.prune and isinstance(source, Collection) and not stop.requested:
            ledger.pruned = prune(source, store, stop)
    finally:
        ledger.close()
    return _report(source, store, model, identity, options, ledger, stop, pipeline.encoder)


def open_encoder(model: Model, weights: Weights, options: RunOptions) -> Encoder:
    """Load the model into the engine that the options name.

    Raises:
        ConfigurationError: the weights cannot be had, or do not fit.
    """
    from embedder.encoders.pytorch import TorchEncoder

    return TorchEncoder(model, weights, device=options.device)


def _refuse_mixture(store: Store, identity: str, options: RunOptions) -> None:
    if options.allow_mixed or options.recompute:
        return
    stored = store.sample()
    if stored is not None and stored.fingerprint != identity:
        raise mixed(store, stored, identity)


def _no_images(source: Source) -> ConfigurationError:
    left_out = ", ".join(f"{count} {kind}" for kind, count in sorted(source.ignored.items()))
    return ConfigurationError(
        f"there is no image in {source.name}"
        + (f" (left out: {left_out}; see --suffixes)" if left_out else "")
        + "; name a folder, a prefix or a shard that holds some"
    )


def _report(
    source: Source,
    store: Store,
    model: Model,
    identity: str,
    options: RunOptions,
    ledger: Ledger,
    stop: Stop,
    encoder: Encoder | None,
) -> Report:
    seconds = ledger.elapsed
    stopped = f"signal {stop.signal}" if stop.signal else str(stop.error) if stop.error else None
    return Report(
        images=ledger.images,
        embedded=ledger.embedded,
        skipped=ledger.skipped,
        failed=ledger.failed,
        ignored=dict(source.ignored),
        pruned=ledger.pruned,
        seconds=round(seconds, 3),
        images_per_second=round(ledger.embedded / seconds, 2) if seconds else 0.0,
        seconds_by_stage={stage: round(ledger.seconds[stage], 3) for stage in ("fetch", "decode", "encode", "write")},
        failures_by_cause={f"{stage}: {error}": count for (stage, error), count in ledger.causes.most_common()},
        model=model.name,
        fingerprint=identity,
        dimension=model.dimension,
        dtype=options.dtype,
        device=encoder.device if encoder else None,
        engine=encoder.engine if encoder else None,
        source=source.name,
        store=store.name,
        stopped=stopped,
        exit_code=exit_codes.of_run(ledger, stop, options.max_failures),
        first_failures=tuple(ledger.first_failures),
    )
