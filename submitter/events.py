"""The shapes in which AWS delivers events to a Lambda, and the answer that each of them expects."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from submitter.errors import SubmitterError, UsageError
from submitter.request import EXPECTED, FIELDS

Event = Mapping[str, Any]


def check(event: object) -> Event:
    """Return the event if it is a JSON object.

    Raises:
        UsageError: it is not.
    """
    if not isinstance(event, Mapping):
        raise UsageError(f"the event is {_short(event)}, {EXPECTED}")
    return event


def is_http(event: Event) -> bool:
    """Tell whether the event is an HTTP request from API Gateway (either payload format) or a Function URL."""
    return "requestContext" in event and ("httpMethod" in event or "rawPath" in event or "routeKey" in event)


def is_records(event: Event) -> bool:
    """Tell whether the event is a batch of records. Only SQS is expected to send one."""
    return "Records" in event


def request_fields(event: Event) -> Event:
    """Return the fields of a plain event, or those that a scheduled event carries.

    A constant input on an EventBridge rule replaces the whole event, so it arrives as a plain event. Without one,
    the fields are in `detail`, or an input transformer has put them at the top level.

    Raises:
        UsageError: a scheduled event carries no fields.
    """
    if "detail-type" not in event:
        return event
    beside = {name: event[name] for name in FIELDS if name in event}
    detail = event.get("detail")
    if not beside and not (isinstance(detail, Mapping) and detail):
        raise UsageError('the scheduled event carries no Paths: give the rule a constant input, {"Paths": ["images"]}')
    return beside or check(detail)


def http_fields(event: Event) -> Event:
    """Return the JSON body of an HTTP request.

    Raises:
        UsageError: the method is not POST, or the body is not a JSON object.
    """
    method = event.get("httpMethod") or event["requestContext"].get("http", {}).get("method")
    if method != "POST":
        raise UsageError(f"the HTTP method is {method}, expected POST with a JSON body; {EXPECTED}")
    body = event.get("body") or ""
    try:
        text = base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body
        return check(json.loads(text))
    except (ValueError, binascii.Error) as error:
        raise UsageError(f"the body of the HTTP request is not JSON ({error}); {EXPECTED}") from error


def http_answer(result: Mapping[str, Any], status: int = 200) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(result),
    }


def http_refusal(error: SubmitterError) -> dict[str, Any]:
    return http_answer({"error": str(error)}, error.http_status)


def sqs_messages(event: Event) -> list[dict[str, Any]]:
    """Return the messages of a batch.

    Raises:
        UsageError: the records do not come from SQS.
    """
    records = event["Records"]
    if not isinstance(records, list) or not records or not all(_is_sqs(record) for record in records):
        sources = sorted({_source(record) for record in records}) if isinstance(records, list) else []
        raise UsageError(
            f"the event's Records come from {', '.join(sources) or 'nowhere'}, expected SQS messages that "
            "carry S3 notifications: send S3's notifications to a queue, and the queue's messages to this function"
        )
    return records


def _is_sqs(record: object) -> bool:
    return (
        isinstance(record, dict)
        and record.get("eventSource") == "aws:sqs"
        and isinstance(record.get("messageId"), str)
        and isinstance(record.get("body"), str)
    )


def _source(record: object) -> str:
    return str(record.get("eventSource") or record.get("EventSource")) if isinstance(record, dict) else "unknown"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:100] + "…"
