"""Putting vectors into an Amazon S3 Vectors index: `embedder read STORE --out s3vectors://BUCKET/INDEX`."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from embedder.errors import ConfigurationError
from embedder.records import StoredVector, VectorInfo
from embedder.stores import open_store
from embedder.system import aws
from embedder.system.threads import grouped
from embedder.vectors.reader import incomparable, numbers

S3VECTORS_SCHEME = "s3vectors://"

MOST_PUT = 500
"""Vectors in one PutVectors."""
MOST_ASKED = 100
"""Keys in one GetVectors."""
MOST_BYTES = 16 << 20
"""In one request, which may have 20 MiB."""
BYTES_PER_NUMBER = 24
"""The most that a number takes as JSON."""
LONGEST_KEY = 1024
"""The most characters that a key may have."""


@dataclass(slots=True)
class Transfer:
    """What a transfer to an index has done so far."""

    written: int = 0
    kept: int = 0
    """Vectors that the index had already."""
    too_long: list[str] = field(default_factory=list)
    """Ids with more characters than a key may have."""
    ids: set[str] = field(default_factory=set)
    """The ids asked for that the store has."""


@dataclass(frozen=True, slots=True)
class Index:
    """An index, and which vectors it takes."""

    client: Any
    bucket: str
    name: str
    dimension: int
    metric: str

    @property
    def uri(self) -> str:
        return f"{S3VECTORS_SCHEME}{self.bucket}/{self.name}"

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call the service for this index, again and again while it fails for a passing reason."""
        function = getattr(self.client, operation)
        with aws.sentences(self.uri):
            patience = aws.Patience(threading.Event())
            answer: dict[str, Any] = patience.call(
                function, vectorBucketName=self.bucket, indexName=self.name, **arguments
            )
        return answer

    def refuse_unfit(self, vector: VectorInfo) -> None:
        """Find out whether a vector fits.

        Raises:
            ConfigurationError: the index is for another dimension, or would not compare the vectors by cosine.
        """
        if vector.dimension != self.dimension:
            raise ConfigurationError(
                f"{self.uri} is for vectors of dimension {self.dimension}, these have {vector.dimension}; make "
                "another index for them"
            )
        if self.metric != "cosine" and not vector.fingerprint.endswith("/normalized"):
            raise ConfigurationError(
                f"{self.uri} compares by {self.metric} distance, and these vectors have to be compared by cosine; make "
                "an index with distance metric cosine, or vectors with --normalize"
            )


def open_index(uri: str) -> Index:
    """Find an index.

    Raises:
        ConfigurationError: the URI has another form, or there is no such index.
        TransientError: the service does not answer.
    """
    parts = re.fullmatch(rf"{S3VECTORS_SCHEME}([^/]+)/([^/]+)", uri)
    if parts is None:
        raise ConfigurationError(f"--out {uri}: expected {S3VECTORS_SCHEME}BUCKET/INDEX")
    bucket, name = parts.groups()
    client = aws.s3vectors_client()
    with aws.sentences(uri):
        try:
            patience = aws.Patience(threading.Event(), aws.START_PATIENCE_SECONDS)
            found = patience.call(client.get_index, vectorBucketName=bucket, indexName=name)["index"]
        except client.exceptions.NotFoundException:
            raise ConfigurationError(
                f"there is no index {uri}; make it with: aws s3vectors create-index --vector-bucket-name {bucket} "
                f"--index-name {name} --data-type float32 --distance-metric cosine --dimension 512"
            ) from None
    return Index(client, bucket, name, found["dimension"], found["distanceMetric"])


def transfer(
    store: str, uri: str, ids: Sequence[str] | None, *, prefix: str = "", fingerprint: str | None = None
) -> Transfer:
    """Put a store's vectors into an index, in bounded memory. What the index has already is not put again.

    Args:
        store: the store's name.
        uri: `s3vectors://bucket/index`; the index has to exist.
        ids: the images wanted; None for all of them.
        prefix: only ids that start with this.
        fingerprint: only vectors made by this model and weights; needed if a store holds several.

    Raises:
        ConfigurationError: there is no such store or index, or they do not fit.
        TransientError: one of them does not answer; another call goes on from there.
    """
    done = Transfer()
    with closing(open_store(store, must_exist=True)) as opened:
        index = open_index(uri)
        described = opened.describe() if ids is None else opened.lookup(list(dict.fromkeys(ids))).values()
        named = (each for each in described if each.image_id.startswith(prefix))
        wanted = _with_a_key(_of_one_kind(named, fingerprint, store), index, done, remember=ids is not None)
        for group in grouped(wanted, max(1, min(MOST_PUT, MOST_BYTES // (index.dimension * BYTES_PER_NUMBER)))):
            missing = _missing(group, index)
            if missing:
                vectors = opened.get([each.image_id for each in missing])
                index.call("put_vectors", vectors=[_put_input(each, store) for each in vectors])
            done.written += len(missing)
            done.kept += len(group) - len(missing)
    return done


def _of_one_kind(vectors: Iterable[VectorInfo], fingerprint: str | None, store: str) -> Iterator[VectorInfo]:
    """Yield the vectors of a fingerprint; if none is asked for, all of them, which must then be of one."""
    first = fingerprint
    for vector in vectors:
        first = vector.fingerprint if first is None else first
        if vector.fingerprint == first:
            yield vector
        elif fingerprint is None:
            raise incomparable(store, [first or "unknown", vector.fingerprint or "unknown"])


def _with_a_key(vectors: Iterable[VectorInfo], index: Index, done: Transfer, *, remember: bool) -> Iterator[VectorInfo]:
    """Yield the vectors whose id can be a key, and note the others."""
    for vector in vectors:
        index.refuse_unfit(vector)
        if remember:
            done.ids.add(vector.image_id)
        if len(vector.image_id) > LONGEST_KEY:
            done.too_long.append(vector.image_id)
        else:
            yield vector


def _missing(group: Sequence[VectorInfo], index: Index) -> list[VectorInfo]:
    """Return the vectors of a group that the index lacks, or has as they were before."""
    there: dict[str, Any] = {}
    for asked in grouped(group, MOST_ASKED):
        answer = index.call("get_vectors", keys=[each.image_id for each in asked], returnMetadata=True)
        there |= {each["key"]: each.get("metadata") for each in answer["vectors"]}
    return [each for each in group if there.get(each.image_id) != _metadata(each)]


def _metadata(vector: VectorInfo) -> dict[str, str]:
    """Return what is kept beside a vector in the index. `Created` tells it from an earlier one of the same image."""
    return {"Source": vector.source, "Fingerprint": vector.fingerprint, "Created": vector.created}


def _put_input(vector: StoredVector, store: str) -> dict[str, Any]:
    return {
        "key": vector.image_id,
        "data": {"float32": numbers(vector, store).astype(np.float32).tolist()},
        "metadata": _metadata(vector),
    }
