"""The commands of the terminal. Each function returns its exit code."""

from __future__ import annotations

import json
import sys
import time
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import chain
from typing import Any

from submitter.clients import Services
from submitter.config import PLANNING, Targets
from submitter.cost import read_rates
from submitter.deadline import Deadline
from submitter.dry_run import dry_run
from submitter.errors import UsageError
from submitter.manifest import Entry
from submitter.new_run import NewRun, new_run_for, new_run_id, run_id_for
from submitter.request import parse_request
from submitter.retry import refuse_if_live, retry_of
from submitter.run_results import open_run
from submitter.status import read_jobs, read_status
from submitter.submit import submit
from submitter.summaries import dry_run_text, status_text, submission_text
from submitter.verify import Verdict, Verification, image_id_of
from submitter.watch import show, watch

_PROGRESS_SECONDS = 2.0
_NOUNS = {"images": "images", "addresses": "images", "tars": "tar files"}
_NAMED_IN_JSON = 100
"""The most differences that `verify --json` lists; without `--json` every difference is a line."""


def submit_paths(arguments: Namespace) -> int:
    """`submitter submit`: do what the Lambda does, without its time limit."""
    request = parse_request(_event(arguments))
    targets, services = Targets.read(vars(arguments)), Services()
    targets.require(*(PLANNING if request.dry_run else ()))
    new_run = new_run_for(request, _run_id(arguments), bucket=targets.bucket, services=services, deadline=Deadline())
    new_run = replace(new_run, entries=_with_progress(new_run))
    if request.dry_run:
        planned = dry_run(new_run, targets.bucket, read_rates(arguments.rates), services)
        _tell(arguments, planned.as_json(), dry_run_text(planned))
        return 0
    if arguments.rates:
        raise UsageError("--rates is only for --dry-run")
    return _submit(arguments, new_run, targets, services)


def _event(arguments: Namespace) -> Mapping[str, Any]:
    """Express the arguments as a Lambda event, so that the same code checks both."""
    event: dict[str, Any] = {
        "ShardSize": arguments.shard_size,
        "Suffixes": [suffix for each in arguments.suffixes.split(",") if (suffix := each.strip())],
        "ImageId": arguments.image_id,
        "Tars": arguments.tars,
        "WholeBucket": arguments.whole_bucket,
        "DryRun": arguments.dry_run,
        "Recompute": arguments.recompute,
    }
    for name, given in {"Inventory": arguments.inventory, "Addresses": arguments.addresses}.items():
        if given is not None:
            event[name] = given
    if arguments.paths:
        event["Paths"] = arguments.paths
    elif not (arguments.whole_bucket or arguments.inventory or arguments.addresses):
        raise UsageError(
            "name a folder of the bucket, such as images, or give --whole-bucket, --inventory or --addresses"
        )
    return event


def show_status(arguments: Namespace) -> int:
    """`submitter status`: show the progress once, or until the run is finished."""
    services = Services()
    results = open_run(arguments.run, services)
    if arguments.interval <= 0:
        raise UsageError(f"--interval is {arguments.interval}, expected seconds above zero")
    status = None
    if arguments.watch:
        for status in watch(lambda: read_status(results, services), arguments.interval):
            show(status, sys.stderr)
    status = status or read_status(results, services)
    _tell(arguments, status.as_json(), status_text(status))
    return status.exit_code


def retry_run(arguments: Namespace) -> int:
    """`submitter retry`: submit a new run with the table and options of the old one."""
    services = Services()
    results = open_run(arguments.run, services)
    record = read_jobs(results)
    targets = Targets.read(
        {"bucket": results.location.bucket, "table": results.run.table},
        vars(arguments),
        {"queue": record.queue, "definition": record.definition} if record else {},
    )
    targets.require()
    if not arguments.now:
        refuse_if_live(record, services)
    results.refresh()
    new_run = retry_of(results, _run_id(arguments))
    first = next(new_run.entries, None)
    if first is None:
        nothing: dict[str, Any] = {"run_uri": None, "jobs": [], "shards": 0, "images": 0, "skipped": {}}
        _tell(arguments, nothing, f"every image of {results.location.uri} has its vector; there is nothing to retry")
        return 0
    return _submit(arguments, replace(new_run, entries=chain([first], new_run.entries)), targets, services)


def verify_run(arguments: Namespace) -> int:
    """`submitter verify`: print every difference between the manifest and the table, one a line."""
    services = Services()
    results = open_run(arguments.run, services)
    image_id = image_id_of(results, arguments.image_id)
    results.refresh()
    verification = Verification(results=results, dynamodb=services.dynamodb, image_id=image_id)
    verdict, named = Verdict(), list[dict[str, str]]()
    for difference in verification.differences(verdict):
        if not arguments.json:
            print(f"{difference.kind}\t{difference.image_id!r}\t{difference.detail}")
        elif len(named) < _NAMED_IN_JSON:
            named.append(asdict(difference))
    found = ", ".join(f"{count:,} {kind}" for kind, count in verdict.differences.items()) or "no difference"
    text = f"{verdict.images:,} images of {results.location.uri} against the table {results.run.table}: {found}"
    if len(verdict.fingerprints) > 1:
        text += f"\nthe vectors come from several models and must not be compared: {dict(verdict.fingerprints)}"
    result = {
        "run_uri": results.location.uri,
        "table": results.run.table,
        "images": verdict.images,
        "counts": dict(verdict.differences),
        "differences": named,
        "fingerprints": dict(verdict.fingerprints),
        "exit_code": verdict.exit_code,
    }
    _tell(arguments, result, text)
    return verdict.exit_code


def _submit(arguments: Namespace, new_run: NewRun, targets: Targets, services: Services) -> int:
    _note(f"run {new_run.run_id}; if this is interrupted, continue it with --run-id {new_run.run_id}")
    submission = submit(new_run, targets, services)
    _tell(arguments, submission.as_json(), submission_text(submission))
    return 0


def _run_id(arguments: Namespace) -> str:
    return run_id_for(arguments.run_id) if arguments.run_id else new_run_id()


def _with_progress(new_run: NewRun) -> Iterator[Entry]:
    """Yield the entries and report the count so far on stderr every two seconds."""
    due = time.monotonic() + _PROGRESS_SECONDS
    for entry in new_run.entries:
        if time.monotonic() >= due:
            _note(f"{new_run.tally.seen:,} objects seen, {new_run.tally.images:,} {_NOUNS[new_run.kind]}")
            due = time.monotonic() + _PROGRESS_SECONDS
        yield entry


def _note(text: str) -> None:
    print(text, file=sys.stderr)


def _tell(arguments: Namespace, result: Mapping[str, Any], text: str) -> None:
    print(json.dumps(result) if arguments.json else text)
