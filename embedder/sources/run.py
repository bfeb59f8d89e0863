"""One shard of a run in S3: its images, its report, and whether an earlier attempt finished it."""

from __future__ import annotations

import gzip
import io
import json
import threading
from typing import Any

from embedder.errors import ConfigurationError
from embedder.records import Failure, VectorInfo
from embedder.sources import S3_SCHEME, Selection, Source
from embedder.sources.reader import S3Reader, split_uri
from embedder.sources.shard import refuse_stems, s3_shard
from submitter.manifest import Run, RunLocation


class MemberList:
    """The images that were found in the tar files of a shard, one JSON object a line.

    Nothing else says what a tar file held. It is kept compressed, at about 30 bytes an image.
    """

    def __init__(self) -> None:
        self.packed = io.BytesIO()
        self.lines = gzip.GzipFile(fileobj=self.packed, mode="wb", mtime=0)

    def add(self, image: VectorInfo | Failure) -> None:
        """Note an image, with its content's ETag if that was read; or what could not be listed, with the reason."""
        if isinstance(image, Failure) and image.stage == "list":
            found = {"failed": f"{image.stage}: {image.error}"}
        else:
            found = {"etag": image.etag} if image.etag else {}
        self.lines.write(json.dumps({"image_id": image.image_id, **found}).encode() + b"\n")

    def close(self) -> bytes:
        """Return the list, complete and compressed."""
        self.lines.close()
        return self.packed.getvalue()


class RunShard:
    """A worker's part of a run, `s3://bucket/…/RUN_ID/`.

    Args:
        number: which shard, from 0.
    """

    def __init__(self, reader: S3Reader, location: RunLocation, run: Run, number: int) -> None:
        self.reader = reader
        self.location = location
        self.run = run
        self.number = number
        self.members = MemberList() if run.kind == "tars" else None
        """None unless the shard lists tar files."""
        if number >= run.shards:
            raise ConfigurationError(
                f"{location.uri} has {run.shards} shards, numbered from 0, but this worker's is number {number}; check "
                "AWS_BATCH_JOB_ARRAY_INDEX and EMBEDDER_SHARD_OFFSET"
            )

    def source(self, selection: Selection) -> Source:
        """Return the source of this shard's images.

        Raises:
            ConfigurationError: the selection is not possible for a shard, or the shard cannot be read.
        """
        key = self.location.shard_key(self.number)
        return s3_shard(self.reader, self.location.bucket, key, selection)

    def finished(self, selection: Selection) -> dict[str, Any] | None:
        """Return the report of an earlier attempt that finished this shard; None without one or if it is damaged.

        Raises:
            ConfigurationError: the selection is not possible for a shard, finished or not.
        """
        refuse_stems(f"s3://{self.location.bucket}/{self.location.shard_key(self.number)}", selection)
        data = self.reader.find(self.location.bucket, self.location.report_key(self.number))
        try:
            found = json.loads(data or b"")
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def failures(self) -> str:
        """Return the failure lines of the attempt that finished this shard."""
        data = self.reader.find(self.location.bucket, self.location.failures_key(self.number))
        return (data or b"").decode(errors="replace")

    def publish(self, report: dict[str, Any], failures: str) -> None:
        """Write the report last, because it means that the shard is done.

        Args:
            failures: one line of JSON for each failure.
        """
        if self.members:
            self.reader.put(self.location.bucket, self.location.members_key(self.number), self.members.close())
        self.reader.put(self.location.bucket, self.location.failures_key(self.number), failures.encode())
        self.reader.put(self.location.bucket, self.location.report_key(self.number), json.dumps(report).encode())


def find_run_shard(name: str, number: int, *, stopping: threading.Event) -> RunShard | None:
    """Return this worker's shard if `name` is a run, an `s3://…/` that holds `run.json`.

    Raises:
        ConfigurationError: the run cannot be read, or has no such shard.
        TransientError: S3 does not answer.
    """
    if not name.startswith(S3_SCHEME) or not name.endswith("/"):
        return None
    bucket, prefix = split_uri(name)
    if not prefix:
        return None  # a whole bucket
    reader = S3Reader(stopping)
    try:
        location = RunLocation.parse(name)
        data = reader.find(bucket, location.run_key)
        return None if data is None else RunShard(reader, location, Run.from_json(data), number)
    except ValueError as error:
        raise ConfigurationError(f"{name}: {error}") from None
