"""From names and options to a finished run: opens what the pipeline joins, and closes the books."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Unpack

from embedder import exit_codes
from embedder.config import DEFAULT_STORE, FailureLimit, Options, RunOptions
from embedder.encoders import Encoder
from embedder.errors import ConfigurationError, TransientError
from embedder.models.catalog import Model, find_model, fingerprint
from embedder.models.weights import Weights, find_weights
from embedder.pipeline.ledger import Ledger
from embedder.pipeline.pruning import prune
from embedder.pipeline.report import Report
from embedder.pipeline.skipping import Freshness
from embedder.pipeline.stages import Pipeline
from embedder.pipeline.stopping import Stop
from embedder.records import Stage
from embedder.sources import DENIED, S3_SCHEME, Collection, Source, open_source
from embedder.stores import DYNAMODB_SCHEME, Store, open_store
from embedder.system.atomic import replacing
from embedder.system.cores import sharing

if TYPE_CHECKING:
    from embedder.sources.run import RunShard

logger = logging.getLogger("embedder")

Progress = Callable[[Ledger, int | None], None]
"""Called now and then with the books so far (`images`, `embedded`, `skipped`, `failed`, and `elapsed` in seconds)
and with the number of images in the source, None where it is not known yet."""

TIMED_STAGES: tuple[Stage, ...] = ("load", "fetch", "decode", "encode", "write")


def embed(
    source: str | Path, store: str | Path | None = None, *, progress: Progress | None = None, **options: Unpack[Options]
) -> Report:
    """Embed a source's images into a store, as `embedder run` does.

    Args:
        source: a folder, an image file, `s3://bucket/prefix/`, a run, or a shard file.
        store: the path of a SQLite file, or `dynamodb://table`; by default a run's own table, else
            `./vectors.db`.
        progress: called several times a second, from the calling thread: a `Progress`.
        options: those of `embedder run`, with `_` for `-`: `model`, `weights`, `batch_size` (images),
            `max_failures` (a count, or a percentage as text), … No environment variable is read for them.

    Returns:
        The report: counts of images, `seconds`, `fingerprint`, … Its `exit_code` is 0 when all is well, 65 for
        too many bad images and 75 where something passing is left. Images that failed do not raise.

    Raises:
        ConfigurationError: what was asked for cannot be done as asked; an unknown option is named.
        TransientError: the source or the store does not answer at the start.

    It installs no signal handlers, so any thread may call it; a KeyboardInterrupt goes through to the caller, and
    what is stored by then is skipped the next time.
    """
    return run(str(source), None if store is None else str(store), [dict(options)], progress=progress)


def run(
    source: str,
    store: str | None,
    options: Sequence[Mapping[str, Any]],
    *,
    progress: Progress | None = None,
    begun: Callable[[Callable[[], Report]], None] | None = None,
    stop: Stop | None = None,
    shard: int = 0,
) -> Report:
    """Embed a source's images into a store; see `embed`.

    Args:
        options: layers of options, the first that has a name wins; a run's own come last.
        begun: called with a function that reports what the run has done so far.
        stop: through it another thread or a signal handler may end the run early.
        shard: which shard of a run is meant.
    """
    stop = stop or Stop()
    part = _find_part(source, shard, stop)
    chosen = RunOptions.resolve(*options, part.run.options if part else {})
    store = store or (f"{DYNAMODB_SCHEME}{part.run.table}" if part else DEFAULT_STORE)
    model = find_model(chosen.model)
    weights = find_weights(chosen.weights, model)
    identity = fingerprint(model, weights.digest, chosen.dtype, normalize=chosen.normalize)
    if part and not chosen.recompute and (report := _earlier_report(part, chosen, store, identity)):
        logger.info("shard %s is done already: its report stands, and nothing is left to do", shard)
        with _failures_file(chosen.failures) as file:
            if file:
                file.write(part.failures())
        return report
    with sharing(chosen.cores):
        opened = part.source(chosen) if part else open_source(source, chosen, stopping=stop.event)
        session = Session(
            model=model,
            weights=weights,
            fingerprint=identity,
            options=chosen,
            source=opened,
            store=open_store(store, stopping=stop.hurry),
            stop=stop,
            progress=progress,
            begun=begun,
        )
        lines = io.StringIO()
        try:
            with _failures_file(chosen.failures) as file:
                report = session.run(*([lines] if part else []), *([file] if file else []))
        finally:
            session.store.close()
    if part and report.exit_code in (exit_codes.DONE, exit_codes.BAD_IMAGES):
        part.publish(report.as_json(), lines.getvalue())
    return report


def _find_part(source: str, shard: int, stop: Stop) -> RunShard | None:
    """This worker's shard, where the source is a run."""
    if not source.startswith(S3_SCHEME):
        return None
    from embedder.sources.run import find_run_shard  # brings boto3, which a folder does not need

    return find_run_shard(source, shard, stopping=stop.event)


def _earlier_report(part: RunShard, options: RunOptions, store: str, identity: str) -> Report | None:
    """The report of an attempt that finished this shard with the same model into the same store."""
    found = part.finished(options)
    report = Report.from_json(found) if found else None
    return report if report and (report.store, report.fingerprint) == (store, identity) else None


@contextmanager
def _failures_file(path: Path | None) -> Iterator[IO[str] | None]:
    """Open `--failures`; the file appears under its name when the run has ended."""
    if path is None:
        yield None
        return
    with ExitStack() as stack:
        try:
            part = stack.enter_context(replacing(path))
        except OSError as error:
            raise ConfigurationError(
                f"--failures {path} cannot be written: {error.strerror}; name a file in a folder that exists"
            ) from None
        file = part.open("w", encoding="utf-8", buffering=1)  # what cannot be written is said while it is
        try:
            yield file
        finally:
            try:
                file.close()
            except OSError as error:
                raise TransientError(f"--failures {path} cannot be written: {error.strerror}; run again") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """Everything that one run joins, opened."""

    model: Model
    weights: Weights
    fingerprint: str
    options: RunOptions
    source: Source
    store: Store
    stop: Stop
    progress: Progress | None
    begun: Callable[[Callable[[], Report]], None] | None

    def run(self, *sinks: IO[str]) -> Report:
        """Run the pipeline and report.

        Args:
            sinks: get one JSON line a failure.
        """
        self.store.prepare()
        options = self.options
        freshness = Freshness(store=self.store.name, fingerprint=self.fingerprint, allow_mixed=options.allow_mixed)
        if not options.recompute and (stored := self.store.sample()) is not None:
            freshness.refuse_mixture(stored)
        ledger = Ledger(*sinks)
        pipeline = Pipeline(
            self.source,
            self.store,
            freshness=freshness,
            preprocessing=self.model.preprocessing,
            open_encoder=self._open_encoder,
            options=options,
            ledger=ledger,
            stop=self.stop,
            progress=self._show,
        )
        if self.begun:
            self.begun(lambda: self._report(ledger, pipeline.encoder))
        try:
            pipeline.run()
        finally:
            if ledger.images:
                self._show(ledger)  # also what failed after the last batch was stored
        if not ledger.images:
            self._explain_nothing()
        if ledger.failed == ledger.images and set(ledger.causes) == {("fetch", DENIED)}:
            raise ConfigurationError(f"access denied to every image of {self.source.name}; s3:GetObject is needed")
        if options.prune and isinstance(self.source, Collection) and not self.stop.requested:
            try:
                ledger.pruned = prune(self.source, self.store, self.stop)
            except TransientError as error:
                self.stop.by_source(error)
        return self._report(ledger, pipeline.encoder)

    def _open_encoder(self) -> Encoder:
        from embedder.encoders.choice import open_encoder  # imports engines only when there is work for them

        options = self.options
        return open_encoder(
            self.model, self.weights, engine=options.engine, device=options.device, batch_size=options.batch_size
        )

    def _show(self, ledger: Ledger) -> None:
        if self.progress:
            self.progress(ledger, self.source.total)

    def _explain_nothing(self) -> None:
        """Raise for a run that saw no image, unless it was told to stop."""
        if self.stop.error is not None:
            raise self.stop.error
        if self.stop.requested:
            return
        left_out = ", ".join(f"{count} {kind}" for kind, count in sorted(self.source.ignored.items()))
        raise ConfigurationError(
            f"there is no image in {self.source.name}"
            + (f" (left out: {left_out}; see --suffixes)" if left_out else "")
            + "; name a folder, a prefix or a shard that holds some"
        )

    def _report(self, ledger: Ledger, encoder: Encoder | None) -> Report:
        seconds, tally = ledger.elapsed, ledger.tally()
        stop = self.stop
        stopped = f"signal {stop.signal}" if stop.signal else str(stop.error) if stop.error else None
        return Report(
            images=tally.images,
            embedded=tally.embedded,
            skipped=tally.skipped,
            failed=tally.failed,
            ignored=dict(self.source.ignored),
            pruned=ledger.pruned,
            seconds=round(seconds, 3),
            images_per_second=round(tally.embedded / seconds, 2),
            seconds_by_stage={stage: round(tally.seconds.get(stage, 0.0), 3) for stage in TIMED_STAGES},
            failures_by_cause={f"{stage}: {error}": count for (stage, error), count in tally.causes.items()},
            model=self.model.name,
            fingerprint=self.fingerprint,
            dimension=self.model.dimension,
            dtype=self.options.dtype,
            device=encoder.device if encoder else None,
            engine=encoder.engine if encoder else None,
            source=self.source.name,
            store=self.store.name,
            stopped=stopped,
            exit_code=exit_code(ledger, stop, self.options.max_failures),
            first_failures=tuple(ledger.first_failures),
        )


def exit_code(ledger: Ledger, stop: Stop, limit: FailureLimit) -> int:
    """The exit code of a run that came to its end."""
    if stop.signal is not None:
        return exit_codes.SIGNAL_BASE + stop.signal
    if stop.error is not None or ledger.transient:
        return exit_codes.TRY_AGAIN
    if limit.exceeded(failed=ledger.failed, images=ledger.images):
        return exit_codes.BAD_IMAGES
    return exit_codes.DONE
