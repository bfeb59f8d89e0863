"""A new run of the images of a run that failed or are missing; of tar files, of their images where only some failed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from submitter.clients import Services
from submitter.errors import UsageError
from submitter.job_states import read_job_states
from submitter.manifest import Entry, parse_entries
from submitter.new_run import NewRun
from submitter.parallel import parallel_map
from submitter.run_results import RunResults
from submitter.selection import ListingTally
from submitter.status import JobsRecord

MOST_IDS = 10_000
"""If more images of a tar file failed, the whole file is submitted again, so that a shard stays small."""


def refuse_if_live(record: JobsRecord | None, services: Services) -> None:
    """Refuse a retry while jobs of the run may still finish its shards.

    Raises:
        UsageError: some jobs are not finished.
    """
    live = read_job_states(services.batch, record.jobs).live if record else 0
    if live:
        raise UsageError(
            f"{live:,} jobs of the run are not finished: wait for them (submitter status --watch), cancel "
            "them, or add --now to embed the images of unfinished shards twice"
        )


def retry_of(results: RunResults, run_id: str) -> NewRun:
    """Return a new run of the images that have no vector, according to the refreshed results.

    Every image of a shard without a report counts as missing. The workers skip those that an earlier attempt stored
    before it ended, at the price of one read each; of a tar file, at the price of reading it.
    """
    tally = ListingTally()
    return NewRun(
        run_id=run_id,
        source=results.location.uri,
        entries=_counted(_left_over(results), tally),
        tally=tally,
        kind=results.run.kind,
        folders=results.run.paths,
        shard_size=results.run.shard_size,
        options=results.run.options,
    )


def _counted(entries: Iterator[Entry], tally: ListingTally) -> Iterator[Entry]:
    for entry in entries:
        tally.images += 1
        tally.bytes += entry.size or 0
        yield entry


def _left_over(results: RunResults) -> Iterator[Entry]:
    numbers = [
        number
        for number in range(results.run.shards)
        if number not in results.reports or results.reports[number].failed
    ]
    for number, entries in parallel_map(lambda number: (number, read_shard(results, number)), numbers):
        if number in results.reports:
            yield from _failed(results, number, entries)
        else:
            yield from entries


def _failed(results: RunResults, number: int, entries: list[Entry]) -> Iterator[Entry]:
    failures = results.failures.get(number, ())
    if results.run.kind == "tars":
        yield from _failed_tars(entries, [each.image_id for each in failures], results.run.bucket)
        return
    names = {failure.key for failure in failures} | {failure.image_id for failure in failures}
    for entry in entries:
        # A report that counts failures without a file that names them leaves the whole shard in doubt.
        if not failures or not names.isdisjoint(ids_of(entry, results.run.bucket)):
            # The image may have been replaced since, which is a common reason for a retry.
            yield replace(entry, etag=None, size=None)


def ids_of(entry: Entry, bucket: str) -> tuple[str, ...]:
    """Return what an image may be called in the table: its key, and its URI."""
    try:
        return entry.located(bucket)
    except ValueError:
        return (entry.key,)


def _failed_tars(entries: list[Entry], failed: list[str], bucket: str) -> Iterator[Entry]:
    """Yield the tar files that failed, or of which images failed; and of which ones, unless all are to be read again.

    Args:
        failed: ids of images, and keys of tar files that could not be read, or not to their end.
    """
    by_key: dict[str, set[str]] = {entry.key: set() for entry in entries}
    whole: set[str] = set()
    for image_id in failed:
        owners = [key for key in _tars_of(image_id, bucket) if key in by_key]
        if image_id in by_key:
            whole.add(image_id)
        elif len(owners) == 1:
            by_key[owners[0]].add(image_id)
        else:
            whole.update(owners or by_key)  # in doubt, more than necessary: what is stored is skipped
    for entry in entries:
        ids = by_key[entry.key]
        if not failed or entry.key in whole or len(ids) > MOST_IDS:
            yield replace(entry, etag=None)
        elif ids:
            yield replace(entry, etag=None, only=tuple(sorted(ids)))


def _tars_of(image_id: str, bucket: str) -> list[str]:
    """Return the keys that the tar file of an image may have: `TAR/MEMBER` says it unless both have slashes."""
    address = image_id.removeprefix(f"tar+s3://{bucket}/")
    if address != image_id:
        return [address.rpartition("#")[0]]
    return [image_id[:at] for at, character in enumerate(image_id) if character == "/"]


def read_shard(results: RunResults, number: int) -> list[Entry]:
    """Return the entries of a shard.

    Raises:
        UsageError: the shard does not exist or cannot be read.
    """
    key = results.location.shard_key(number)
    body = results.objects.get(key)
    if body is None:
        raise UsageError(f"the shard s3://{results.location.bucket}/{key} does not exist any more")
    try:
        return list(parse_entries(body))
    except ValueError as error:
        raise UsageError(f"s3://{results.location.bucket}/{key}: {error}") from error
