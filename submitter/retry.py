"""A run's failed and missing images as the order of a new run."""

from collections.abc import Iterator
from dataclasses import replace

from submitter.clients import Services
from submitter.errors import UsageError
from submitter.flight import in_flight
from submitter.ledger import Ledger
from submitter.manifest import Entry, parse_entries
from submitter.order import Order
from submitter.selection import Tally
from submitter.states import describe
from submitter.status import JobsRecord


def refuse_if_live(record: JobsRecord | None, services: Services) -> None:
    """Raise UsageError while the run's own jobs may still finish its shards."""
    live = describe(services.batch, record.jobs).live if record else 0
    if live:
        raise UsageError(
            f"{live:,} jobs of the run are not finished: wait for them (submitter status --watch), cancel "
            "them, or add --now to embed the images of unfinished shards twice"
        )


def retry_order(ledger: Ledger, run_id: str) -> Order:
    """An order for what the ledger, which must be fresh, has no vector for by its own account.

    Every image of a shard without a report counts as missing: the workers skip, at one read each,
    those that an attempt stored before it died.
    """
    tally = Tally()
    return Order(
        run_id=run_id,
        source=ledger.location.uri,
        entries=_counted(_left_over(ledger), tally),
        tally=tally,
        folders=ledger.run.paths,
        shard_size=ledger.run.shard_size,
        options=ledger.run.options,
    )


def _counted(entries: Iterator[Entry], tally: Tally) -> Iterator[Entry]:
    for entry in entries:
        tally.images += 1
        tally.bytes += entry.size or 0
        yield entry


def _left_over(ledger: Ledger) -> Iterator[Entry]:
    numbers = [
        number for number in range(ledger.run.shards) if number not in ledger.reports or ledger.reports[number].failed
    ]
    for number, entries in in_flight(lambda number: (number, read_shard(ledger, number)), numbers):
        if number in ledger.reports:
            yield from _failed(ledger, number, entries)
        else:
            yield from entries


def _failed(ledger: Ledger, number: int, entries: list[Entry]) -> Iterator[Entry]:
    failures = ledger.failures.get(number, ())
    names = {failure.key for failure in failures} | {failure.image_id for failure in failures}
    for entry in entries:
        uri = f"s3://{ledger.run.bucket}/{entry.key}"
        # A report that counts failures without a file that names them: the whole shard is in doubt.
        if not failures or entry.key in names or uri in names:
            # The picture may have been replaced since, which is why somebody retries.
            yield replace(entry, etag=None, size=None)


def read_shard(ledger: Ledger, number: int) -> list[Entry]:
    """The entries of a shard. Raises UsageError when it is not there or cannot be read."""
    key = ledger.location.shard_key(number)
    body = ledger.objects.get(key)
    if body is None:
        raise UsageError(f"the shard s3://{ledger.location.bucket}/{key} is gone")
    try:
        return list(parse_entries(body))
    except ValueError as error:
        raise UsageError(f"s3://{ledger.location.bucket}/{key}: {error}") from error
