"""The images that a run's table should hold: those of its shards, or those that its workers found in tar files."""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from botocore.exceptions import ClientError

from submitter.errors import UsageError, error_code
from submitter.manifest import Entry
from submitter.object_stream import ObjectStream
from submitter.parallel import parallel_map
from submitter.retry import ids_of, read_shard
from submitter.run_results import RunResults


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """An image of a run."""

    image_id: str
    etag: str | None = None
    """The object's, as far as the shard knows it; in a tar file, that of the content that a worker met."""
    failure: str | None = None
    """Why a worker has stored no vector."""
    is_certain: bool = False
    """Whether a vector in the table is another image's, or another version's: of an image in a tar file whose content
    could not be read, or whose name another image there has, too."""


def expected_images(results: RunResults, image_id: str) -> Iterator[Expected]:
    """Yield the images of a run in the order of its shards; of tar files, those of the shards that are finished, in the
    order in which their workers finished them.

    Args:
        results: refreshed.
        image_id: how the workers named the images, `key` or `uri`.
    """
    failures = {failure.image_id: failure.reason for some in results.failures.values() for failure in some}
    if results.run.kind == "tars":
        for number in sorted(results.reports):
            for found in _members(results, number):
                name, etag = found["image_id"], found.get("etag")
                reason = found.get("failed") or failures.get(name)
                yield Expected(image_id=name, etag=etag, failure=reason, is_certain=bool(reason) and not etag)
        return
    for entry in _entries(results, range(results.run.shards)):
        key, *uri = ids_of(entry, results.run.bucket)
        name = uri[0] if uri and image_id == "uri" else key
        yield Expected(image_id=name, etag=entry.etag, failure=failures.get(name))


def unread_tars(results: RunResults) -> Iterator[str]:
    """Yield the tar files of the shards that no worker has finished."""
    if results.run.kind == "tars":
        unfinished = (number for number in range(results.run.shards) if number not in results.reports)
        yield from (entry.key for entry in _entries(results, unfinished))


def _entries(results: RunResults, numbers: Iterator[int] | range) -> Iterator[Entry]:
    for entries in parallel_map(lambda number: read_shard(results, number), numbers):
        yield from entries


def _members(results: RunResults, number: int) -> Iterator[dict[str, str]]:
    """Yield what a worker found in its tar files, line by line."""
    key = results.location.members_key(number)
    name = f"s3://{results.location.bucket}/{key}"
    try:
        stream = ObjectStream(results.objects.client, results.location.bucket, key)
        with io.BufferedReader(stream) as packed, gzip.open(packed) as lines:
            for line in lines:
                yield json.loads(line)
    except ClientError as error:
        if error_code(error) not in {"NoSuchKey", "404"}:
            raise
        raise UsageError(f"{name}, the list of the images in a shard's tar files, does not exist any more") from error
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        raise UsageError(f"{name} cannot be read: {error}") from error
