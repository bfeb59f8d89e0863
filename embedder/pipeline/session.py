"""One run, from names and options to its report: opens the source and the store, runs the pipeline, and reports."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import IO, TYPE_CHECKING, Unpack

from embedder import exit_codes
from embedder.encoders.own import OwnEncoder
from embedder.errors import ConfigurationError, TransientError
from embedder.options import DEFAULT_STORE, FailureLimit, Layer, Options, RunOptions
from embedder.pipeline.counting import counting_ahead
from embedder.pipeline.hints import hint
from embedder.pipeline.ledger import DAMAGED, Ledger
from embedder.pipeline.progress import Progress, watching
from embedder.pipeline.pruning import prune
from embedder.pipeline.recipe import Recipe, recipe
from embedder.pipeline.report import Report
from embedder.pipeline.skipping import Skipping
from embedder.pipeline.stages import Pipeline
from embedder.pipeline.stopping import Stop
from embedder.pipeline.summary import heic_remedy
from embedder.records import TIMED_STAGES
from embedder.sources import DENIED, S3_SCHEME, CompleteSource, Selection, Source
from embedder.sources.several import open_sources
from embedder.stores import DYNAMODB_SCHEME, Store, open_store
from embedder.system.cores import sharing
from embedder.system.files import Replacement, unwritable

if TYPE_CHECKING:
    from embedder.sources.run import RunShard

logger = logging.getLogger("embedder")


def embed(
    source: str | Path | Sequence[str | Path],
    store: str | Path | None = None,
    *,
    encoder: OwnEncoder | None = None,
    progress: Progress | bool = True,
    **options: Unpack[Options],
) -> Report:
    """Embed a source's images into a store, as `embedder run` does.

    Args:
        source: a folder, an image file, `s3://bucket/prefix/`, a run, or a shard file; or several of these, of which
            none is a run.
        store: the path of a SQLite file, or `dynamodb://table`; by default a run's own table, else
            `./vectors.db`.
        encoder: your own model, an `OwnEncoder`. It replaces the options that choose a model.
        progress: whether to show a bar in a notebook or on a terminal; or a `Progress`, which is called several times a
            second from the calling thread instead.
        options: those of `embedder run`, with `_` for `-`: `model`, `weights`, `batch_size` (images),
            `max_failures` (a count, or a percentage as text), … `embed` reads no environment variables for them.

    Returns:
        The report: counts of images, `seconds`, `fingerprint`, … Its `exit_code` is 0 if all is well, 65 if too many
        images are bad, and 75 if a temporary problem remains. Failed images raise no exception.

    Raises:
        ConfigurationError: the request cannot be carried out; the message names an unknown option.
        TransientError: the source or the store does not answer at the start.

    `embed` installs no signal handlers, so any thread may call it. A KeyboardInterrupt reaches the caller, and the next
    call skips what was stored by then.
    """
    layers = [Layer(values=dict(options))]
    store = None if store is None else str(store)
    names = str(source) if isinstance(source, str | Path) else list(map(str, source))
    with watching(progress) as show:
        return open_session(names, store, *layers, encoder=encoder, progress=show).run()


def open_session(
    source: str | Sequence[str],
    store: str | None,
    *layers: Layer,
    encoder: OwnEncoder | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
    shard: int = 0,
    count: bool = True,
) -> Session:
    """Prepare a run; see `embed`.

    Args:
        source: the name of a source, or the names of several.
        count: whether `progress` wants to know how many images a folder or a prefix has. For a prefix it costs a
            request for every thousand objects.
        layers: the options. The first layer that has an option wins; a submitted run's own options come last.
        stop: lets another thread end the run early.
        shard: the number of the shard, if the source is a submitted run.
    """
    sources = [source] if isinstance(source, str) else source
    if not sources:
        raise ConfigurationError("there is no source; name a folder, s3://BUCKET/PREFIX/ or a shard")
    stop = stop or Stop()
    part = _find_part(sources[0], shard, stop) if len(sources) == 1 else None
    own = [Layer(values=part.run.options, called=f"option {{}} of {sources[0]}".format)] if part else []
    options = RunOptions.resolve(*layers, *own)
    return Session(
        sources=sources,
        store=store or (f"{DYNAMODB_SCHEME}{part.run.table}" if part else DEFAULT_STORE),
        options=options,
        recipe=recipe(options, encoder),
        part=part,
        stop=stop,
        progress=progress,
        count=count and progress is not None,
    )


def _find_part(source: str, shard: int, stop: Stop) -> RunShard | None:
    """Return this worker's shard, if the source is a run."""
    if not source.startswith(S3_SCHEME):
        return None
    from embedder.sources.run import find_run_shard  # imports boto3, which a folder does not need

    return find_run_shard(source, shard, stopping=stop.event)


class Session:
    """One run. Call `run` once, and `report` at any time after the run began, from any thread."""

    def __init__(
        self,
        *,
        sources: Sequence[str],
        store: str,
        options: RunOptions,
        recipe: Recipe,
        part: RunShard | None,
        stop: Stop,
        progress: Progress | None,
        count: bool,
    ) -> None:
        self.sources = sources
        self.store_name = store
        self.options = options
        self.selection = Selection.of(options)
        self.recipe = recipe
        self.part = part
        self.stop = stop
        self.progress = progress
        self.count = count
        self.pipeline: Pipeline | None = None
        """None until the run begins to count."""

    def run(self) -> Report:
        """Embed the source's images and return the report; it raises what `embed` raises."""
        if (report := self._earlier_report()) is not None:
            return report
        lines = io.StringIO()
        with sharing(self.options.cores), ExitStack() as stack:
            source = self._open_source()
            store = open_store(self.store_name, stopping=self.stop.hurry)
            stack.callback(store.close)
            failures = stack.enter_context(_lines_file("--failures", self.options.failures))
            notices = stack.enter_context(_lines_file("--notices", self.options.notices))
            sinks = [*([lines] if self.part else []), *([failures] if failures else [])]
            book = self.part.members.add if self.part and self.part.members else None
            self._run(source, store, Ledger(*sinks, notice_sinks=[notices] if notices else [], book=book))
        report = self.report()
        if self.part and report.exit_code in (exit_codes.DONE, exit_codes.BAD_IMAGES):
            self.part.publish(report.as_json(), lines.getvalue())
        return report

    def _open_source(self) -> Source:
        source = (
            self.part.source(self.selection)
            if self.part
            else open_sources(self.sources, self.selection, stopping=self.stop.event)
        )
        if self.options.prune and not isinstance(source, CompleteSource):
            raise ConfigurationError(_no_pruning(source.name))
        return source

    def _earlier_report(self) -> Report | None:
        """Return the report of an earlier attempt that finished this shard with the same recipe and store."""
        if self.part is None or self.options.recompute:
            return None
        if self.options.prune:
            raise ConfigurationError(_no_pruning(self.sources[0]))
        found = self.part.finished(self.selection)
        report = Report.from_json(found) if found else None
        if report is None or (report.store, report.fingerprint) != (self.store_name, str(self.recipe.fingerprint)):
            return None
        logger.info("shard %s is done already: its report stands, and there is nothing to do", self.part.number)
        with _lines_file("--failures", self.options.failures) as file:
            if file:
                file.write(self.part.failures())
        return report

    def _run(self, source: Source, store: Store, ledger: Ledger) -> None:
        options = self.options
        store.prepare(index=self.recipe.dimension if options.index else None)
        skipping = Skipping(store=store.name, fingerprint=str(self.recipe.fingerprint), allow_mixed=options.allow_mixed)
        if not options.recompute and (stored := store.sample()) is not None:
            skipping.refuse_mixture(stored)
        pipeline = self.pipeline = Pipeline(
            source,
            store,
            recipe=self.recipe,
            skipping=skipping,
            options=options,
            ledger=ledger,
            stop=self.stop,
            progress=self._show,
        )
        ledger.total = source.total
        try:
            with counting_ahead(source, ledger) if self.count else nullcontext():
                self._show(ledger)
                pipeline.run()
        finally:
            if ledger.images:
                self._show(ledger)  # includes failures after the last batch was stored
        if not ledger.images:
            self._explain_nothing(source)
        if ledger.failed == ledger.images and set(ledger.causes) == {("fetch", DENIED)}:
            raise ConfigurationError(f"access denied to every image of {source.name}; s3:GetObject is needed")
        if options.prune and isinstance(source, CompleteSource) and not self.stop.requested:
            try:
                ledger.pruned = prune(source, store, self.stop)
            except TransientError as error:
                self.stop.by_source(error)

    def _show(self, ledger: Ledger) -> None:
        if self.progress and self.pipeline:
            self.progress(ledger, ledger.total)

    def _explain_nothing(self, source: Source) -> None:
        """Raise the error for a run that found no image, unless it was asked to stop, or tar files may have none."""
        if self.stop.error is not None:
            raise self.stop.error
        if self.stop.requested or (self.part and self.part.members):
            return
        ignored = ", ".join(f"{count} {kind}" for kind, count in sorted(source.ignored.items()))
        raise ConfigurationError(
            f"there is no image in {source.name}"
            + (f" (ignored: {ignored}; see --suffixes and --hidden)" if ignored else "")
            + "; name a folder, a prefix or a shard that has images"
            + (f"; {remedy}" if (remedy := heic_remedy(source.ignored)) else "")
        )

    def report(self) -> Report:
        """Return the report of the run so far. The run must have begun, so that `pipeline` is set."""
        assert self.pipeline is not None
        ledger, source, encoder = self.pipeline.ledger, self.pipeline.source, self.pipeline.encoder
        stop, seconds, tally = self.stop, ledger.elapsed, ledger.tally()
        stopped = f"signal {stop.signal}" if stop.signal else str(stop.error) if stop.error else None
        return Report(
            images=tally.images,
            embedded=tally.embedded,
            skipped=tally.skipped,
            moved=ledger.moved,
            failed=tally.failed,
            damaged=ledger.notices[DAMAGED],
            notices=dict(ledger.notices.most_common()),
            ignored=dict(source.ignored),
            pruned=ledger.pruned,
            seconds=round(seconds, 3),
            images_per_second=round(tally.embedded / seconds, 2),
            seconds_by_stage={stage: round(tally.seconds.get(stage, 0.0), 3) for stage in TIMED_STAGES},
            failures_by_cause={f"{stage}: {error}": count for (stage, error), count in tally.causes.items()},
            model=self.recipe.fingerprint.model,
            fingerprint=str(self.recipe.fingerprint),
            dimension=self.recipe.dimension,
            dtype=self.options.dtype,
            device=encoder.device if encoder else None,
            engine=encoder.engine if encoder else None,
            arithmetic=encoder.arithmetic if encoder else None,
            source=source.name,
            store=self.pipeline.store.name,
            stopped=stopped,
            exit_code=exit_code(ledger, stop, self.options.max_failures),
            total=ledger.total if stopped else tally.images,  # files may have come or gone since they were counted
            hint=hint(self.recipe, self.options, encoder, tally, seconds),
            first_failures=tuple(ledger.first_failures),
        )


def _no_pruning(source: str) -> str:
    return f"--prune is not possible for {source}, which is only a part of the images; name a folder or a prefix"


@contextmanager
def _lines_file(option: str, path: Path | None) -> Iterator[IO[str] | None]:
    """Open the file of lines that an option names. The file appears under its name when the run has ended."""
    if path is None:
        yield None
        return
    with ExitStack() as stack:
        with _named(option, path):
            replacement = Replacement(path)
            stack.callback(replacement.close)
            # Buffered by line, so that a line that cannot be written raises at once.
            file = replacement.part.open("w", encoding="utf-8", buffering=1)
        try:
            yield file
        finally:
            with _named(option, path):
                file.close()
        with _named(option, path):
            replacement.keep()


@contextmanager
def _named(option: str, path: Path) -> Iterator[None]:
    """Turn an OSError into a sentence about the file that an option names."""
    try:
        yield
    except OSError as error:
        raise unwritable(f"{option} {path}", error, "name a file in a folder that exists") from error


def exit_code(ledger: Ledger, stop: Stop, limit: FailureLimit) -> int:
    """Return the exit code of a run that has ended."""
    if stop.signal is not None:
        return exit_codes.SIGNAL_BASE + stop.signal
    if stop.error is not None or ledger.transient:
        return exit_codes.TRY_AGAIN
    if limit.exceeded(failed=ledger.failed, images=ledger.images):
        return exit_codes.BAD_IMAGES
    return exit_codes.DONE
