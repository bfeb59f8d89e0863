"""Compare a run's manifest with the table: has every image a vector, made from the right version of it?"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from submitter.errors import TransientError, UsageError
from submitter.expected import Expected, expected_images, unread_tars
from submitter.parallel import parallel_map
from submitter.request import IMAGE_IDS
from submitter.run_results import RunResults

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import KeysAndAttributesTypeDef

_KEYS_AT_ONCE = 100
_ATTEMPTS = 10
_LONGEST_KEY = 2048
"""Bytes of a key that DynamoDB allows. No image with a longer id can be stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A disagreement between the manifest and the table."""

    kind: str
    """`absent`, `failed` (absent, and a worker reported why), `changed` (made from another version) or `unread` (a tar
    file that no worker has finished)."""
    image_id: str
    detail: str


@dataclass(slots=True, kw_only=True)
class Verdict:
    """The counts. They are complete once every difference has been read."""

    images: int = 0
    differences: Counter[str] = field(default_factory=Counter)
    fingerprints: Counter[str] = field(default_factory=Counter)
    """What produced the vectors. Vectors with different fingerprints must not be compared."""

    @property
    def exit_code(self) -> int:
        return int(bool(self.differences) or len(self.fingerprints) > 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The comparison of one run with one table."""

    results: RunResults
    """Must have been refreshed."""
    dynamodb: DynamoDBClient
    image_id: str = "key"
    """How the workers named the images: `key` or `uri`."""
    sleep: Callable[[float], None] = time.sleep

    def differences(self, verdict: Verdict) -> Iterator[Difference]:
        """Yield the differences in the order of the expected images, and count them and the images into `verdict`."""
        for each in chain(self._compared(verdict), self._unread()):
            verdict.differences[each.kind] += 1
            yield each

    def _compared(self, verdict: Verdict) -> Iterator[Difference]:
        for images, items in parallel_map(self._look_up, self._batches()):
            verdict.images += len(images)
            verdict.fingerprints.update(item["Fingerprint"] for item in items.values() if item["Fingerprint"])
            for image in images:
                if difference := _compare(image, items.get(image.image_id)):
                    yield difference

    def _unread(self) -> Iterator[Difference]:
        for key in unread_tars(self.results):
            yield Difference(kind="unread", image_id=key, detail="no worker has finished the shard of this tar file")

    def _batches(self) -> Iterator[list[Expected]]:
        images = expected_images(self.results, self.image_id)
        while batch := list(islice(images, _KEYS_AT_ONCE)):
            yield batch

    def _look_up(self, images: list[Expected]) -> tuple[list[Expected], dict[str, dict[str, str]]]:
        """Return the stored items of some images by image id; keys that DynamoDB left unprocessed are asked again."""
        table = self.results.run.table
        ids = dict.fromkeys(each.image_id for each in images if len(each.image_id.encode()) <= _LONGEST_KEY)
        keys: Sequence[Mapping[str, Any]] = [{"ImageId": {"S": image_id}} for image_id in ids]
        items: dict[str, dict[str, str]] = {}
        if not keys:
            return images, items
        for attempt in range(_ATTEMPTS):
            request: KeysAndAttributesTypeDef = {
                "Keys": keys,
                "ConsistentRead": True,
                "ProjectionExpression": "#i, #e, #f",
                "ExpressionAttributeNames": {"#i": "ImageId", "#e": "ETag", "#f": "Fingerprint"},
            }
            answer = self.dynamodb.batch_get_item(RequestItems={table: request})
            for item in answer["Responses"].get(table, []):
                items[item["ImageId"]["S"]] = {
                    name: item.get(name, {}).get("S", "") for name in ("ETag", "Fingerprint")
                }
            left = answer["UnprocessedKeys"].get(table)
            if not left:
                return images, items
            keys = left["Keys"]
            self.sleep(min(0.1 * 2**attempt, 5) * random.uniform(0.5, 1))
        raise TransientError(f"the table {table} keeps throttling reads; try again later")


def _compare(image: Expected, item: dict[str, str] | None) -> Difference | None:
    if image.failure and (item is None or image.is_certain):
        return Difference(kind="failed", image_id=image.image_id, detail=image.failure)
    if item is None:
        return Difference(kind="absent", image_id=image.image_id, detail="in the manifest, but not in the table")
    if image.etag and item["ETag"] and image.etag != item["ETag"]:
        detail = f"the manifest has ETag {image.etag}, the table {item['ETag']}"
        return Difference(kind="changed", image_id=image.image_id, detail=detail)
    return None


def image_id_of(results: RunResults, given: str | None) -> str:
    """Return how the table names the run's images: as `given`, else as the run's options say.

    Raises:
        UsageError: shards cannot be verified by such ids.
    """
    chosen = given or results.run.options.get("image_id", "key")
    if chosen not in IMAGE_IDS:
        raise UsageError(f"the image ids of a run are {' or '.join(IMAGE_IDS)}, not {chosen!r}")
    return str(chosen)
