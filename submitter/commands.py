"""What each command of the terminal does. Each returns its exit code."""

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import chain
from typing import Any

from submitter.clients import Services
from submitter.config import PLANNING, Settings
from submitter.cost import read_rates
from submitter.deadline import Deadline
from submitter.errors import UsageError
from submitter.ledger import open_ledger
from submitter.manifest import Entry
from submitter.order import Order, new_run_id, order_for, run_id_for
from submitter.plan import plan
from submitter.reconcile import Reconciliation, Verdict, image_id_of
from submitter.request import parse_request
from submitter.retry import refuse_if_live, retry_order
from submitter.status import read_jobs, read_status
from submitter.submit import submit
from submitter.texts import plan_text, status_text, submission_text
from submitter.watch import show, watch

_PROGRESS_SECONDS = 2.0
_NAMED_IN_JSON = 100
"""Differences that `verify --json` names; without it every one is a line."""


def submit_paths(arguments: Namespace) -> int:
    """`submitter submit`: what the Lambda does, with nobody's clock running."""
    request = parse_request(_event(arguments))
    settings, services = Settings.read(vars(arguments)), Services()
    settings.require(*(PLANNING if request.dry_run else ()))
    order = order_for(request, _run_id(arguments), bucket=settings.bucket, services=services, deadline=Deadline())
    order = replace(order, entries=_with_progress(order))
    if request.dry_run:
        planned = plan(order, settings.bucket, read_rates(arguments.rates))
        _tell(arguments, planned.to_dict(), plan_text(planned))
        return 0
    if arguments.rates:
        raise UsageError("--rates is for --dry-run")
    return _submit(arguments, order, settings, services)


def _event(arguments: Namespace) -> Mapping[str, Any]:
    """The arguments as the Lambda's event, so that both are checked by the same code."""
    event: dict[str, Any] = {
        "ShardSize": arguments.shard_size,
        "Suffixes": [suffix for each in arguments.suffixes.split(",") if (suffix := each.strip())],
        "WholeBucket": arguments.whole_bucket,
        "DryRun": arguments.dry_run,
        "Recompute": arguments.recompute,
    }
    if arguments.inventory is not None:
        event["Inventory"] = arguments.inventory
    if arguments.paths:
        event["Paths"] = arguments.paths
    elif not arguments.whole_bucket and arguments.inventory is None:
        raise UsageError("name a folder of the bucket, such as images, or --whole-bucket, or --inventory")
    return event


def show_status(arguments: Namespace) -> int:
    """`submitter status`: once, or until the run is finished."""
    services = Services()
    ledger = open_ledger(arguments.run, services)
    if arguments.interval <= 0:
        raise UsageError(f"--interval is {arguments.interval}, expected seconds above zero")
    status = None
    if arguments.watch:
        for status in watch(lambda: read_status(ledger, services), arguments.interval):
            show(status, sys.stderr)
    status = status or read_status(ledger, services)
    _tell(arguments, status.to_dict(), status_text(status))
    return status.exit_code


def retry_run(arguments: Namespace) -> int:
    """`submitter retry`: a new run, in the same table, with the same options."""
    services = Services()
    ledger = open_ledger(arguments.run, services)
    record = read_jobs(ledger)
    settings = Settings.read(
        {"bucket": ledger.location.bucket, "table": ledger.run.table},
        vars(arguments),
        {"queue": record.queue, "definition": record.definition} if record else {},
    )
    settings.require()
    if not arguments.now:
        refuse_if_live(record, services)
    ledger.refresh()
    order = retry_order(ledger, _run_id(arguments))
    first = next(order.entries, None)
    if first is None:
        nothing: dict[str, Any] = {"run_uri": None, "jobs": [], "shards": 0, "images": 0, "skipped": {}}
        _tell(arguments, nothing, f"every image of {ledger.location.uri} has its vector: nothing to retry")
        return 0
    return _submit(arguments, replace(order, entries=chain([first], order.entries)), settings, services)


def verify_run(arguments: Namespace) -> int:
    """`submitter verify`: every difference between manifest and table, one a line."""
    services = Services()
    ledger = open_ledger(arguments.run, services)
    image_id = image_id_of(ledger, arguments.image_id)
    ledger.refresh()
    reconciliation = Reconciliation(ledger=ledger, dynamodb=services.dynamodb, image_id=image_id)
    verdict, named = Verdict(), list[dict[str, str]]()
    for difference in reconciliation.differences(verdict):
        if not arguments.json:
            print(f"{difference.kind}\t{difference.image_id!r}\t{difference.detail}")
        elif len(named) < _NAMED_IN_JSON:
            named.append(asdict(difference))
    found = ", ".join(f"{count:,} {kind}" for kind, count in verdict.differences.items()) or "no difference"
    text = f"{verdict.images:,} images of {ledger.location.uri} against the table {ledger.run.table}: {found}"
    if len(verdict.fingerprints) > 1:
        text += f"\nvectors of several models, not to be compared: {dict(verdict.fingerprints)}"
    result = {
        "run_uri": ledger.location.uri,
        "table": ledger.run.table,
        "images": verdict.images,
        "counts": dict(verdict.differences),
        "differences": named,
        "fingerprints": dict(verdict.fingerprints),
        "exit_code": verdict.exit_code,
    }
    _tell(arguments, result, text)
    return verdict.exit_code


def _submit(arguments: Namespace, order: Order, settings: Settings, services: Services) -> int:
    _note(f"run {order.run_id}; if this is cut short, repeat it with --run-id {order.run_id}")
    submission = submit(order, settings, services)
    _tell(arguments, submission.to_dict(), submission_text(submission))
    return 0


def _run_id(arguments: Namespace) -> str:
    return run_id_for(arguments.run_id) if arguments.run_id else new_run_id()


def _with_progress(order: Order) -> Iterator[Entry]:
    """The order's entries, with a word on a terminal now and then about how many there are."""
    due = time.monotonic() + _PROGRESS_SECONDS
    for entry in order.entries:
        if time.monotonic() >= due:
            _note(f"{order.tally.seen:,} objects seen, {order.tally.images:,} images")
            due = time.monotonic() + _PROGRESS_SECONDS
        yield entry


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _tell(arguments: Namespace, result: Mapping[str, Any], text: str) -> None:
    print(json.dumps(result) if arguments.json else text)
