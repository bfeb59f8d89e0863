"""Compare a run's manifest with the table: has every image a vector, made from the right version of it?"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from submitter.errors import TransientError, UsageError
from submitter.manifest import Entry
from submitter.parallel import parallel_map
from submitter.retry import read_shard
from submitter.run_results import RunResults

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_dynamodb.type_defs import KeysAndAttributesTypeDef

_KEYS_AT_ONCE = 100
_ATTEMPTS = 10
IMAGE_IDS = ("key", "uri")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A disagreement between the manifest and the table."""

    kind: str
    """`absent`, `failed` (absent, and a worker reported why) or `changed` (made from another version)."""
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
        """Yield the differences in the order of the manifest, and count them and the images into `verdict`."""
        failures = {
            failure.image_id: failure.reason for of_shard in self.results.failures.values() for failure in of_shard
        }
        for entries, items in parallel_map(self._look_up, self._batches()):
            verdict.images += len(entries)
            verdict.fingerprints.update(item["Fingerprint"] for item in items.values() if item["Fingerprint"])
            for entry in entries:
                image_id = self._id(entry)
                difference = _compare(entry, image_id, items.get(image_id), failures.get(image_id))
                if difference:
                    verdict.differences[difference.kind] += 1
                    yield difference

    def _id(self, entry: Entry) -> str:
        return entry.key if self.image_id == "key" else f"s3://{self.results.run.bucket}/{entry.key}"

    def _batches(self) -> Iterator[list[Entry]]:
        entries = (
            entry
            for shard in parallel_map(lambda number: read_shard(self.results, number), range(self.results.run.shards))
            for entry in shard
        )
        while batch := list(islice(entries, _KEYS_AT_ONCE)):
            yield batch

    def _look_up(self, entries: list[Entry]) -> tuple[list[Entry], dict[str, dict[str, str]]]:
        """Return the stored items of some entries by image id; keys that DynamoDB left unprocessed are asked again."""
        table = self.results.run.table
        keys: Sequence[Mapping[str, Any]] = [{"ImageId": {"S": image_id}} for image_id in map(self._id, entries)]
        items: dict[str, dict[str, str]] = {}
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
                return entries, items
            keys = left["Keys"]
            self.sleep(min(0.1 * 2**attempt, 5) * random.uniform(0.5, 1))
        raise TransientError(f"the table {table} keeps throttling reads; try again later")


def _compare(entry: Entry, image_id: str, item: dict[str, str] | None, failure: str | None) -> Difference | None:
    if item is None and failure:
        return Difference(kind="failed", image_id=image_id, detail=failure)
    if item is None:
        return Difference(kind="absent", image_id=image_id, detail="in the manifest, but not in the table")
    if entry.etag and item["ETag"] and entry.etag != item["ETag"]:
        detail = f"the manifest has ETag {entry.etag}, the table {item['ETag']}"
        return Difference(kind="changed", image_id=image_id, detail=detail)
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
