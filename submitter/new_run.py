"""A run that is about to be written: its images, where they come from, and its options."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any

from submitter.addresses import AddressTable
from submitter.clients import Services
from submitter.deadline import Deadline
from submitter.listing import list_folders
from submitter.manifest import Entry, RunKind
from submitter.request import DEFAULT_SHARD_SIZE, Request, tar_keys
from submitter.s3_inventory import read_inventory
from submitter.selection import TAR_SUFFIX, ListingTally, S3Object, select
from submitter.shards import SHARD_BYTES, Shard, cut
from submitter.tar_files import find_tars

_MAX_ID = 100
"""Batch limits a job's name to 128 characters; this leaves room for the rest of the name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRun:
    """A run before it is written. `entries` can be read once, and `tally` is filled meanwhile."""

    run_id: str
    source: str
    entries: Iterator[Entry]
    tally: ListingTally = field(default_factory=ListingTally)
    kind: RunKind = "images"
    folders: tuple[str, ...] = ()
    """Also the names of tar files."""
    shard_size: int = DEFAULT_SHARD_SIZE
    options: Mapping[str, Any] = field(default_factory=dict)

    def shards(self) -> Iterator[Shard]:
        """Cut the entries into shards, while they are listed."""
        return cut(self.entries, self.shard_size, SHARD_BYTES[self.kind])

    @property
    def images(self) -> int | None:
        """The number of images so far; None if nobody knows it."""
        return None if self.kind == "tars" else self.tally.images

    @property
    def tars(self) -> int | None:
        """The number of tar files so far, in a run of these."""
        return self.tally.images if self.kind == "tars" else None


def new_run_for(request: Request, run_id: str, *, bucket: str, services: Services, deadline: Deadline) -> NewRun:
    """Return the run that a request describes. Nothing is listed until its entries are read."""
    tally = ListingTally()
    if request.addresses:
        table = AddressTable(s3=services.s3, uri=request.addresses, bucket=bucket, image_id=request.image_id)
        entries = table.entries(tally, deadline)
    else:
        entries = select(
            _found(request, bucket, services, tally, deadline),
            (TAR_SUFFIX,) if request.kind == "tars" else request.suffixes,
            tally,
            (*request.folders, *(each.partition("{")[0] for each in request.tar_paths)),
            kind="tar" if request.kind == "tars" else "key",
        )
    return NewRun(
        run_id=run_id,
        source=request.inventory or request.addresses or "paths",
        entries=entries,
        tally=tally,
        kind=request.kind,
        folders=(*request.folders, *request.tar_paths),
        shard_size=request.shard_size,
        options=request.options,
    )


def _found(
    request: Request, bucket: str, services: Services, tally: ListingTally, deadline: Deadline
) -> Iterator[S3Object]:
    if request.inventory:
        return read_inventory(services.s3, request.inventory, bucket=bucket, folders=request.folders, deadline=deadline)
    keys = tar_keys(request.tar_paths, request.folders)
    return chain(
        list_folders(services.pages, bucket, request.folders, tally=tally, deadline=deadline),
        find_tars(services.pages, bucket, keys, tally=tally, deadline=deadline),
    )


def run_id_for(request_id: str) -> str:
    """Derive a run id from a request id: always the same one, with only characters that a job's name allows."""
    legal = re.sub(r"[^A-Za-z0-9_-]", "-", request_id)[:_MAX_ID]
    if legal == request_id and legal[:1].isalnum():
        return legal
    return f"run-{legal[: _MAX_ID - 40]}-{_digest([request_id])}"


def run_id_for_messages(message_ids: Iterable[str]) -> str:
    """Derive a run id from the ids of a batch of queue messages, whatever their order."""
    return f"sqs-{_digest(sorted(message_ids))}"


def new_run_id() -> str:
    """Make a run id for the command line, where a request has no id of its own. Run ids sort by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
