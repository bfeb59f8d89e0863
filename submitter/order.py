"""One submission before anything of it exists: which images, from where, for whom."""

import hashlib
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from submitter.clients import Services
from submitter.deadline import Deadline
from submitter.inventory import read_inventory
from submitter.listing import list_folders
from submitter.manifest import Entry
from submitter.request import DEFAULT_SHARD_SIZE, Request
from submitter.selection import Tally, select

_MAX_ID = 100
"""Leaves room for the rest of a job's name, which Batch limits to 128 characters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Where a run's images come from. `entries` can be read once; `tally` fills meanwhile."""

    run_id: str
    source: str
    entries: Iterator[Entry]
    tally: Tally = field(default_factory=Tally)
    folders: tuple[str, ...] = ()
    shard_size: int = DEFAULT_SHARD_SIZE
    options: Mapping[str, Any] = field(default_factory=dict)


def order_for(request: Request, run_id: str, *, bucket: str, services: Services, deadline: Deadline) -> Order:
    """The order that a request amounts to. Nothing is listed until its entries are read."""
    tally = Tally()
    if request.inventory:
        found = read_inventory(
            services.s3, request.inventory, bucket=bucket, folders=request.folders, deadline=deadline
        )
    else:
        found = list_folders(services.pages, bucket, request.folders, tally=tally, deadline=deadline)
    return Order(
        run_id=run_id,
        source=request.inventory or "paths",
        entries=select(found, request.suffixes, tally),
        tally=tally,
        folders=request.folders,
        shard_size=request.shard_size,
        options=request.options,
    )


def run_id_for(request_id: str) -> str:
    """A request's id as a run's: the same for the same request, and legal in a job's name."""
    legal = re.sub(r"[^A-Za-z0-9_-]", "-", request_id)[:_MAX_ID]
    if legal == request_id and legal[:1].isalnum():
        return legal
    return f"run-{legal[: _MAX_ID - 40]}-{_digest([request_id])}"


def run_id_for_messages(message_ids: Iterable[str]) -> str:
    """The run of a batch of queue messages, whatever order they come in."""
    return f"sqs-{_digest(sorted(message_ids))}"


def new_run_id() -> str:
    """For a terminal, where no request has an id: sorts by time."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
