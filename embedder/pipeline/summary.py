"""The outcome of a run in a person's words."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping

from embedder.decoding import heif
from embedder.options import DEFAULT_SUFFIXES
from embedder.pipeline.report import Report
from embedder.system.doors import scheme_of
from embedder.terminal.bars import duration
from embedder.terminal.screen import USUAL_WIDTH, counted, printable, speed, wrapped

AGAIN = "Run the same command again to go on."


def summarize(report: Report, width: int = USUAL_WIDTH) -> list[str]:
    """Return the lines: what was done, what needs a look, and what made the vectors.

    Args:
        width: the most columns of a line; only a longer word exceeds it.
    """
    return [line for each in _sentences(report) for line in wrapped(each, width, "  ")]


def store_name(report: Report) -> str:
    """Return the store as a person calls it: `vectors.db` rather than `./vectors.db`."""
    return report.store if scheme_of(report.store) else os.path.normpath(report.store)


def all_failed(report: Report) -> str:
    """Return the sentence for a run whose every image failed."""
    only = "The only image" if report.images == 1 else f"None of {report.images:,} images"
    return f"{only} could {'not ' if report.images == 1 else ''}be embedded."


def heic_remedy(ignored: Mapping[str, int]) -> str:
    """Return how to embed the pictures of phones that were ignored; nothing if there were none."""
    found = [each for each in heif.SUFFIXES if ignored.get(f".{each}")]
    if not found:
        return ""
    needed = "" if heif.is_installed() else "pip install 'embedder[heif]', then "
    kinds = " and ".join(f".{each}" for each in found)
    return f"to embed {kinds} too: {needed}run with --suffixes {','.join([*DEFAULT_SUFFIXES, *found])}"


def _sentences(report: Report) -> Iterator[str]:
    yield from _outcome(report)
    yield from _failures(report)
    if report.damaged:
        yield f"damaged: {report.damaged:,} of the embedded have lost a part of their data"
    if report.ignored:
        ignored = ", ".join(f"{count:,} {kind}" for kind, count in sorted(report.ignored.items()))
        yield f"ignored: {ignored} (see --suffixes and --hidden)"
        if remedy := heic_remedy(report.ignored):
            yield remedy
    if report.moved:
        yield f"moved: {report.moved:,} of the unchanged, whose Source is up to date now"
    if report.notices:
        notices = ", ".join(f"{count:,} {kind}" for kind, count in report.notices.items())
        yield f"notices: {notices} (--notices FILE names each)"
    if report.pruned:
        yield f"deleted: {counted(report.pruned, 'vector')} whose image no longer exists"
    if report.hint:
        yield f"faster: {report.hint}"
    if report.embedded or report.skipped:
        yield f"vectors: {report.fingerprint}, {report.dimension:,} numbers each"
    if report.embedded and report.engine:
        yield f"made by: {report.engine} in {report.arithmetic} on {report.device}"


def _outcome(report: Report) -> Iterator[str]:
    if report.stopped is not None:
        of = f" of {report.total:,}" if report.total else " images"
        why = "" if report.stopped.startswith("signal ") else f": {report.stopped}"
        yield f"Stopped after {report.images:,}{of}{why}. {AGAIN}"
        if report.images:
            stored = f", stored in {store_name(report)}" if report.embedded else ""
            yield f"{_counts(report)}{stored}"
    elif report.embedded:
        yield (
            f"{report.embedded:,} of {report.images:,} embedded in {_seconds(report.seconds)} "
            f"({speed(report.images_per_second)}), stored in {store_name(report)}"
        )
        others = [f"{report.skipped:,} unchanged"] * bool(report.skipped)
        others += [f"{report.failed:,} failed"] * bool(report.failed)
        if others:
            yield f"the others: {', '.join(others)}"
    elif not report.failed:
        all_of = "the only image is" if report.images == 1 else f"all {report.images:,} images are"
        yield f"Nothing to do: {all_of} in {store_name(report)} already."
    elif report.skipped:
        yield f"Nothing new: {_counts(report)}; {store_name(report)} is as it was"
    else:
        yield all_failed(report)


def _counts(report: Report) -> str:
    counts = (("embedded", report.embedded), ("unchanged", report.skipped), ("failed", report.failed))
    return ", ".join(f"{count:,} {word}" for word, count in counts if count)


def _failures(report: Report) -> Iterator[str]:
    for failure in report.first_failures:
        yield f"failed: {printable(failure.image_id)} ({failure.stage}): {failure.error}: {failure.message}"
    if report.failed > len(report.first_failures):
        causes = ", ".join(f"{count:,} {cause}" for cause, count in report.failures_by_cause.items())
        yield f"all {report.failed:,} failures: {causes} (--failures FILE names each)"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 99.5 else duration(seconds)
