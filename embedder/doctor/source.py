"""Checks of SOURCE: the bucket, its first image, the permission to read and, for a run, to write reports."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from embedder.decoding.decoder import Decoder
from embedder.doctor import Finding, ok, skipped
from embedder.doctor.account import Clock
from embedder.errors import ConfigurationError, ImageError
from embedder.models import Model
from embedder.options import RunOptions
from embedder.records import Reference
from embedder.sources import S3_SCHEME, Selection, Source, open_source
from embedder.system import aws

if TYPE_CHECKING:
    from embedder.sources.run import RunShard

NOT_ITS_MD5 = "1B2M2Y8AsgTpgAmY7PhCfg=="
"""The MD5 of an empty body, which is sent with a body that is not empty."""


def at_once() -> threading.Event:
    """Return an event that is set, so that a request is tried once and never waits."""
    event = threading.Event()
    event.set()
    return event


class SourceExam:
    """The checks of a source. Each check relies on those before it."""

    def __init__(self, name: str, model: Model, options: RunOptions, shard: int, clock: Clock) -> None:
        self.name = name
        self.model = model
        self.options = options
        self.shard = shard
        self.remote = name.startswith(S3_SCHEME)
        self.bucket = name.removeprefix(S3_SCHEME).partition("/")[0]
        self.client = aws.s3_client(1, aws.ANSWER_TIMEOUT) if self.remote else None
        if self.client:
            clock.watch(self.client)
        self.reachable = not self.remote
        self.part: RunShard | None = None
        self.source: Source | None = None
        self.first: Reference | None = None

    def exists(self) -> Finding:
        """Check that the bucket exists and that we may list it."""
        assert self.client is not None
        with aws.sentences(f"s3://{self.bucket}"):
            try:
                # A refusal says why in its body. An answer to HEAD has no body.
                self.client.list_objects_v2(Bucket=self.bucket, MaxKeys=1)
            except ClientError as error:
                if aws.error_code(error) not in aws.DENIED_CODES:
                    raise
                self.reachable = True  # reading may be allowed all the same
                return Finding(
                    "failed",
                    f"listing s3://{self.bucket} is denied",
                    f"allow s3:ListBucket on arn:aws:s3:::{self.bucket}: without it a missing object looks like a "
                    "forbidden one, also to a worker",
                )
        self.reachable = True
        region = None
        with contextlib.suppress(ClientError, BotoCoreError):  # not every S3 says, and that is no fault
            answer = self.client.head_bucket(Bucket=self.bucket)
            region = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
        ours = self.client.meta.region_name
        if region and region != ours and "amazonaws" in self.client.meta.endpoint_url:
            return Finding(
                "warning",
                f"{self.bucket} is in {region}, we are in {ours}",
                "run in the bucket's region: AWS charges for data between regions",
            )
        return ok(f"{self.bucket}" + (f" in {region}" if region else ""))

    def listing(self) -> Finding:
        """Find the first image, as a run would."""
        if not self.reachable:
            return skipped("the bucket cannot be reached")
        if self.remote:
            from embedder.sources.run import find_run_shard

            self.part = find_run_shard(self.name, self.shard, stopping=at_once())
        selection = Selection.of(self.options)
        self.source = (
            self.part.source(selection) if self.part else open_source(self.name, selection, stopping=at_once())
        )
        self.first = next((each for each in self.source.references() if isinstance(each, Reference)), None)
        if self.first is None:
            raise ConfigurationError(
                f"there is no image in {self.source.name}; name a folder, a prefix or a shard that has images"
            )
        what = f"shard {self.shard} of {self.part.run.shards}, " if self.part else ""
        return ok(f"{what}the first image is {self.first.image_id!r}")

    def reading(self) -> Finding:
        """Read and decode the first image."""
        if self.source is None or self.first is None:
            return skipped("there is no image to read")
        decoder = Decoder(self.model.preprocessing, max_pixels=self.options.max_pixels)
        try:
            sample = self.source.read(self.first)
        except ImageError as error:
            return Finding(
                "failed",
                f"{self.first.uri}: {error.error}: {error.message}",
                "check the object and the permission to read it",
            )
        try:
            decoder.decode(sample.data)
        except ImageError as error:
            return Finding(
                "warning",
                f"{self.first.uri}: {error.error}: {error.message}",
                "a run will report it as a failure and go on; have a look at the file",
            )
        return ok(f"{self.first.uri}, {len(sample.data):,} bytes, is a picture")

    def reporting(self) -> Finding:
        """Check that a worker may write its report, by a request that S3 must refuse for another reason.

        The request requires an object to be unchanged that does not exist, and states a wrong MD5 of its body. S3
        checks the permission to write before it checks either.
        """
        if self.part is None or self.client is None:
            return skipped("the source is not a run, so a worker writes nothing to it")
        key = f"{self.part.location.reports_prefix}doctor"
        try:
            with aws.sentences(f"s3://{self.bucket}/{key}"):
                self.client.put_object(
                    Bucket=self.bucket, Key=key, Body=b"embedder doctor", IfMatch='"0"', ContentMD5=NOT_ITS_MD5
                )
        except ConfigurationError as error:
            code = aws.error_code(error.__cause__) if isinstance(error.__cause__, ClientError) else ""
            if code in ("PreconditionFailed", "NoSuchKey", "BadDigest", "InvalidDigest", "404", "412"):
                return ok(f"writing below {self.part.location.reports_prefix} is allowed; nothing was written")
            if code in aws.DENIED_CODES:
                return Finding(
                    "failed",
                    f"writing below {self.part.location.reports_prefix} is denied",
                    f"allow s3:PutObject on reports/* and failures/* of s3://{self.bucket}/{self.part.location.root}",
                )
            raise
        return Finding("warning", f"this S3 accepted a write that it should refuse: {key}", "delete that object")
