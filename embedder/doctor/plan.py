"""Chooses the checks for a run from SOURCE to STORE. Each check follows those that it depends on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from embedder.doctor import Check, Finding, disk, machine, programs
from embedder.doctor.model import ModelExam
from embedder.encoders.choice import check_engine
from embedder.errors import EmbedderError
from embedder.models.catalog import find_model
from embedder.options import RunOptions
from embedder.stores import DYNAMODB_SCHEME
from embedder.system.cores import usable_cores
from embedder.system.doors import scheme_of


def checks(source: str | None, store: str | None, options: RunOptions, shard: int = 0) -> Iterator[Check]:
    """Yield the checks; without SOURCE and STORE only those of this machine.

    Raises:
        ConfigurationError: there is no such model or engine.
    """
    check_engine(options.engine)
    model = find_model(options.model)
    exam = ModelExam(model, options)
    yield Check("versions", programs.versions)
    yield Check("codecs", programs.codecs)
    yield Check("decoding", lambda: programs.decoding(model.preprocessing))
    yield Check("cores", machine.cores)
    yield Check("memory", lambda: machine.memory(options.workers))
    yield Check("shared memory", machine.shared_memory)
    yield Check("open files", lambda: machine.descriptors(options.workers, _readers(source)))
    yield Check("temporary files", disk.temporary)
    yield Check("cache", disk.cache)
    yield Check("device", exam.device)
    yield Check("weights", exam.weights)
    yield Check("engine", exam.engine)
    yield Check("golden vectors", exam.golden)
    yield from _places(source, store, options, exam, shard)


def _places(source: str | None, store: str | None, options: RunOptions, exam: ModelExam, shard: int) -> Iterator[Check]:
    in_cloud = scheme_of(source or "") == "s3", scheme_of(store or "") == "dynamodb"
    if any(in_cloud):
        yield from _cloud(
            source if in_cloud[0] else None,
            store if in_cloud[1] else None,
            options,
            exam,
            shard,
            default_table=store is None,
        )
    if source and not in_cloud[0]:
        from embedder.doctor.account import Clock
        from embedder.doctor.source import SourceExam

        local = SourceExam(source, exam.model, options, shard, Clock())
        yield Check("images", local.listing)
        yield Check("reading", local.reading)
    if store and not in_cloud[1]:
        from embedder.doctor.store import any_store

        yield Check("store", lambda: any_store(store, options, exam.fingerprint))
        if not scheme_of(store):
            yield Check("store's disk", lambda: disk.store_folder(store))


def _readers(source: str | None) -> int:
    """Return how many objects a run reads at the same time."""
    if scheme_of(source or "") != "s3":
        return 0
    from embedder.sources.reader import reader_threads

    return reader_threads(usable_cores())


def _raise(error: EmbedderError) -> Finding:
    raise error


def _cloud(
    source: str | None, store: str | None, options: RunOptions, exam: ModelExam, shard: int, *, default_table: bool
) -> Iterator[Check]:
    from embedder.doctor.account import AccountExam, Clock
    from embedder.doctor.source import SourceExam
    from embedder.doctor.store import TableExam
    from embedder.system import aws

    clock = Clock()
    try:
        aws.dynamodb_client(1)
        aws.s3_client(1)
    except EmbedderError as error:
        yield Check("region", partial(_raise, error))
        return
    images = SourceExam(source, exam.model, options, shard, clock) if source else None
    table = TableExam(store, options, exam.fingerprint, clock) if store else None
    endpoints = [images.client.meta.endpoint_url] if images and images.client else []
    account = AccountExam([*endpoints, *([table.endpoint] if table else [])], clock)
    yield Check("credentials", account.credentials)
    yield Check("identity", account.identity)
    if images:
        yield Check("bucket", images.exists)
        yield Check("images", images.listing)
        yield Check("reading", images.reading)
        yield Check("reports", images.reporting)
        if images.part and default_table:
            table = TableExam(f"{DYNAMODB_SCHEME}{images.part.run.table}", options, exam.fingerprint, clock)
    if table:
        yield Check("table", table.schema)
        yield Check("table: lookup", table.lookup)
        yield Check("table: scan", table.scan)
        yield Check("table: write", table.write)
    yield Check("clock", clock.check)
