"""An Amazon S3 Vectors index, `s3vectors://BUCKET/INDEX`, which has to exist."""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from embedder.errors import ConfigurationError
from embedder.exports import Mark
from embedder.exports.transfer import carried, mark_of, refuse_other_distance, wrong_dimension
from embedder.records import StoredVector, VectorInfo, Vectors
from embedder.system import aws
from embedder.system.threads import grouped

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


class Index:
    """An index; see `Collection`."""

    def __init__(self, address: str) -> None:
        parts = re.fullmatch(r"s3vectors://([^/]+)/([^/]+)", address)
        if parts is None:
            raise ConfigurationError(f"--out {address}: expected s3vectors://BUCKET/INDEX")
        self.name = address
        self.bucket, self.index = parts.groups()
        self.client = aws.s3vectors_client()

    def fit(self, first: VectorInfo) -> int:
        with aws.sentences(self.name):
            try:
                patience = aws.Patience(threading.Event(), aws.START_PATIENCE_SECONDS)
                found = patience.call(self.client.get_index, vectorBucketName=self.bucket, indexName=self.index)
            except self.client.exceptions.NotFoundException:
                raise ConfigurationError(
                    f"there is no index {self.name}; make it with: aws s3vectors create-index --vector-bucket-name "
                    f"{self.bucket} --index-name {self.index} --data-type float32 --distance-metric cosine "
                    f"--dimension {first.dimension}"
                ) from None
        dimension: int = found["index"]["dimension"]
        if dimension != first.dimension:
            raise wrong_dimension(self.name, dimension, first)
        refuse_other_distance(self.name, found["index"]["distanceMetric"], first)
        return max(1, min(MOST_PUT, MOST_BYTES // (dimension * BYTES_PER_NUMBER)))

    def refusal(self, image_id: str) -> str | None:
        too_long = f"is too long for a key, which has at most {LONGEST_KEY} characters"
        return too_long if len(image_id) > LONGEST_KEY else None

    def marks(self, image_ids: Sequence[str]) -> Mapping[str, Mark]:
        there: dict[str, Mark] = {}
        for asked in grouped(image_ids, MOST_ASKED):
            answer = self._call("get_vectors", keys=asked, returnMetadata=True)
            there |= {each["key"]: mark_of(each.get("metadata") or {}) for each in answer["vectors"]}
        return there

    def put(self, vectors: Sequence[StoredVector], numbers: Vectors) -> None:
        rows = zip(vectors, numbers.tolist(), strict=True)
        self._call(
            "put_vectors",
            vectors=[{"key": each.image_id, "data": {"float32": row}, "metadata": carried(each)} for each, row in rows],
        )

    def close(self) -> None:
        self.client.close()

    def _call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Call the service for this index, again and again while it fails for a passing reason."""
        function = getattr(self.client, operation)
        with aws.sentences(self.name):
            patience = aws.Patience(threading.Event())
            answer: dict[str, Any] = patience.call(
                function, vectorBucketName=self.bucket, indexName=self.index, **arguments
            )
        return answer
