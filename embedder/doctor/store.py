"""Checks of STORE: that it exists, has the right schema, and that we may read and write it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from embedder.doctor import Finding, ok, skipped
from embedder.doctor.account import Clock
from embedder.doctor.source import at_once
from embedder.errors import ConfigurationError
from embedder.options import RunOptions
from embedder.records import VectorInfo
from embedder.stores import open_store
from embedder.system import aws

if TYPE_CHECKING:
    from embedder.stores.dynamodb import DynamoDBStore

NOBODY = "embedder doctor"
"""An id that no image has."""


def any_store(name: str, options: RunOptions, fingerprint: Callable[[], str]) -> Finding:
    """Check that the store can be opened and written, and that a run may add its vectors."""
    store = open_store(name)
    try:
        store.prepare()
        return mixture(store.sample(), options, fingerprint)
    finally:
        store.close()


def mixture(stored: VectorInfo | None, options: RunOptions, fingerprint: Callable[[], str]) -> Finding:
    """Check that a run's vectors may join the stored ones."""
    if stored is None:
        return ok("it is empty, and can be read")
    try:
        expected = fingerprint()
    except ConfigurationError:
        return ok(f"it holds vectors of {stored.fingerprint}, and can be read")  # the weights have a check of their own
    if stored.fingerprint != expected and not options.allow_mixed and not options.recompute:
        return Finding(
            "warning",
            f"it holds vectors of {stored.fingerprint or 'an unknown model'}, but a run would make {expected}",
            "a run will refuse: give the weights and options of the stored vectors, another store, or --recompute",
        )
    return ok(f"it holds vectors of {stored.fingerprint}, and can be read")


class TableExam:
    """The checks of a DynamoDB table. Each check relies on those before it."""

    def __init__(self, name: str, options: RunOptions, fingerprint: Callable[[], str], clock: Clock) -> None:
        self.name = name
        self.options = options
        self.fingerprint = fingerprint
        self.clock = clock
        self.endpoint = aws.dynamodb_client(1).meta.endpoint_url
        self.store: DynamoDBStore | None = None

    def schema(self) -> Finding:
        """Check that the table exists and has the right key."""
        from embedder.stores.dynamodb import DynamoDBStore

        self.store = DynamoDBStore(self.name, stopping=at_once(), watch=self.clock.watch)
        return ok(f"{self.store.table} in {self.store.client.meta.region_name}, key ImageId of type S")

    def lookup(self) -> Finding:
        """Check BatchGetItem with an id that no image has."""
        if self.store is None:
            return skipped("there is no table to read")
        return self._allowed("BatchGetItem", lambda store: store.lookup([NOBODY]))

    def scan(self) -> Finding:
        """Check Scan with one item, and compare its model with the run's."""
        if self.store is None:
            return skipped("there is no table to read")
        found: list[VectorInfo | None] = []
        denied = self._allowed("Scan", lambda store: found.append(store.sample()))
        return mixture(found[0], self.options, self.fingerprint) if found else denied

    def write(self) -> Finding:
        """Check BatchWriteItem with an item that the table cannot take, because its key is a number.

        DynamoDB refuses the item when it compares it with the table, which it does only for callers who may write.
        """
        if self.store is None:
            return skipped("there is no table to write to")

        def write(store: DynamoDBStore) -> None:
            with aws.sentences(f"the table {store.table}"):
                try:
                    store.client.batch_write_item(
                        RequestItems={store.table: [{"PutRequest": {"Item": {"ImageId": {"N": "0"}}}}]}
                    )
                except ClientError as error:
                    if aws.error_code(error) != "ValidationException":
                        raise

        found = self._allowed("BatchWriteItem", write)
        return ok(f"{found.found}; nothing was written") if found.status == "ok" else found

    def _allowed(self, action: str, call: Callable[[DynamoDBStore], object]) -> Finding:
        assert self.store is not None
        try:
            call(self.store)
        except ConfigurationError as error:
            if isinstance(error.__cause__, ClientError) and aws.error_code(error.__cause__) in aws.DENIED_CODES:
                table = self.store.table
                remedy = f"allow dynamodb:{action} on arn:aws:dynamodb:*:*:table/{table}"
                return Finding("failed", f"dynamodb:{action} on {table} is denied", remedy)
            raise
        return ok(f"dynamodb:{action} is allowed")
