"""A new run of the images of a run that failed or are missing."""

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
    before it ended, at the price of one read each.
    """
    tally = ListingTally()
    return NewRun(
        run_id=run_id,
        source=results.location.uri,
        entries=_counted(_left_over(results), tally),
        tally=tally,
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
    names = {failure.key for failure in failures} | {failure.image_id for failure in failures}
    for entry in entries:
        uri = f"s3://{results.run.bucket}/{entry.key}"
        # A report that counts failures without a file that names them leaves the whole shard in doubt.
        if not failures or entry.key in names or uri in names:
            # The image may have been replaced since, which is a common reason for a retry.
            yield replace(entry, etag=None, size=None)


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
