"""The Lambda handler: takes an event, writes a run and submits its jobs.

It accepts `{"Paths": ["images"]}` as a plain event, from a schedule or as the body of an HTTP request, and S3
notifications from an SQS queue. A user's mistake is raised as a sentence that says what was expected; over HTTP it is
the answer, with a status code. Messages from SQS that cannot be read are listed in `batchItemFailures`, so the event
source mapping must have `ReportBatchItemFailures`.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Protocol

from submitter.clients import Services
from submitter.config import PLANNING, Targets
from submitter.cost import Rates
from submitter.deadline import Deadline
from submitter.dry_run import dry_run
from submitter.errors import SubmitterError, UsageError, aws_errors
from submitter.events import (
    check,
    http_answer,
    http_fields,
    http_refusal,
    is_http,
    is_records,
    request_fields,
    sqs_messages,
)
from submitter.new_run import NewRun, new_run_for, run_id_for, run_id_for_messages
from submitter.notifications import read_notifications
from submitter.request import parse_request
from submitter.selection import DEFAULT_SUFFIXES, ListingTally, select
from submitter.submit import submit

log = logging.getLogger(__name__)


class Context(Protocol):
    """The part of Lambda's context object that is used."""

    aws_request_id: str

    def get_remaining_time_in_millis(self) -> int: ...


def handler(event: object, context: Context) -> dict[str, Any]:
    """Lambda's entry point, `submitter.handler.handler`.

    Raises:
        SubmitterError: one of the kinds in `submitter.errors`.
    """
    log.setLevel(logging.INFO)
    fields = check(event)
    with aws_errors():
        if is_http(fields):
            return _answer_http(fields, context)
        if is_records(fields):
            return _logged(_submit_notified(fields))
        return _logged(_submit_request(request_fields(fields), context))


def _answer_http(event: Mapping[str, Any], context: Context) -> dict[str, Any]:
    try:
        with aws_errors():
            return http_answer(_logged(_submit_request(http_fields(event), context)))
    except SubmitterError as error:
        log.warning("%s", error)
        return http_refusal(error)


def _submit_request(fields: Mapping[str, Any], context: Context) -> dict[str, Any]:
    request = parse_request(fields)
    targets, services = Targets.read(), Services()
    targets.require(*(PLANNING if request.dry_run else ()))
    new_run = new_run_for(
        request,
        run_id_for(context.aws_request_id),
        bucket=targets.bucket,
        services=services,
        deadline=Deadline(remaining_ms=context.get_remaining_time_in_millis),
    )
    if request.dry_run:
        return dry_run(new_run, targets.bucket, Rates(), services).as_json()
    return submit(new_run, targets, services).as_json()


def _submit_notified(event: Mapping[str, Any]) -> dict[str, Any]:
    messages = sqs_messages(event)
    targets = Targets.read()
    targets.require()
    notified = read_notifications(messages, targets.bucket)
    for message_id, problem in notified.malformed.items():
        log.warning("message %s is %s", message_id, problem)
    if not notified.message_ids:
        problems = "; ".join(f"{message_id}: {why}" for message_id, why in notified.malformed.items())
        raise UsageError(f"no message of the batch can be read: {problems}")
    failures = [{"itemIdentifier": message_id} for message_id in notified.malformed]
    tally = ListingTally()
    entries = list(select(notified.found, DEFAULT_SUFFIXES, tally))
    if not entries:
        nothing: dict[str, Any] = {
            "run_uri": None,
            "jobs": [],
            "shards": 0,
            "images": 0,
            "skipped": dict(tally.skipped),
        }
        return {**nothing, "batchItemFailures": failures}
    new_run = NewRun(
        run_id=run_id_for_messages(notified.message_ids),
        source="notifications",
        entries=iter(entries),
        tally=tally,
    )
    return {**submit(new_run, targets, Services()).as_json(), "batchItemFailures": failures}


def _logged(result: dict[str, Any]) -> dict[str, Any]:
    log.info("%s", json.dumps(result))
    return result
