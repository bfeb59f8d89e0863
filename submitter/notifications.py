"""Read the objects that S3's "object created" notifications name, as SQS delivers them in batches."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from submitter.manifest import bare_etag
from submitter.selection import S3Object


@dataclass(frozen=True, slots=True, kw_only=True)
class Notified:
    """The content of a batch of queue messages."""

    found: tuple[S3Object, ...]
    """Each key once, as its latest notification describes it."""
    message_ids: tuple[str, ...]
    """The ids of the messages that could be read."""
    malformed: dict[str, str]
    """What is wrong with each of the other messages, by message id."""


def read_notifications(messages: Sequence[dict[str, Any]], bucket: str) -> Notified:
    """Read the notifications about `bucket` in a batch of SQS messages."""
    found: dict[str, S3Object] = {}
    good: list[str] = []
    malformed: dict[str, str] = {}
    for message in messages:
        message_id = message["messageId"]
        try:
            objects = _read_body(message["body"], bucket)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            malformed[message_id] = f"not an S3 notification: {error!r}"
            continue
        good.append(message_id)
        for each in objects:
            found.pop(each.key, None)
            found[each.key] = each
    return Notified(found=tuple(found.values()), message_ids=tuple(good), malformed=malformed)


def _read_body(body: str, bucket: str) -> list[S3Object]:
    notification = json.loads(body)
    if notification.get("Event") == "s3:TestEvent":  # S3 sends one when notifications are configured
        return []
    return [_read_record(record, bucket) for record in notification["Records"]]


def _read_record(record: dict[str, Any], bucket: str) -> S3Object:
    about = record["s3"]
    if about["bucket"]["name"] != bucket:
        raise ValueError(f"it is about the bucket {about['bucket']['name']!r}, but this submitter uses {bucket!r}")
    key, size = unquote_plus(about["object"]["key"]), about["object"].get("size")
    if not key or not (size is None or isinstance(size, int)):
        raise ValueError(f"the object {about['object']!r} has no valid key and size")
    created = record["eventName"].removeprefix("s3:").startswith("ObjectCreated:")
    return S3Object(
        key=key,
        etag=bare_etag(about["object"].get("eTag")),
        size=size,
        passed_over=None if created else "not_created",
    )
