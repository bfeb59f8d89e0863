"""A collection of Qdrant: of a server, `qdrant+http://HOST:PORT/COLLECTION`, or of the client's own local mode,
`qdrant://FOLDER/COLLECTION`. It needs the extra `qdrant`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from embedder import config
from embedder.errors import ConfigurationError, TransientError
from embedder.exports import Mark, without_password
from embedder.exports.transfer import MARK, carried, mark_of, needed, refuse_other_distance, wrong_dimension
from embedder.records import KEY, StoredVector, VectorInfo, Vectors
from embedder.system.files import check_folder

MOST_PUT = 512
MOST_BYTES = 16 << 20
"""In one request; a server takes 32 MiB if nothing else is set."""
BYTES_PER_NUMBER = 24
"""The most that a number takes as JSON."""
TIMEOUT_SECONDS = 60


class QdrantCollection:
    """A collection, whose points have the UUIDv5 of the image's id, and the id in the payload; see `Collection`."""

    def __init__(self, address: str) -> None:
        self.name = without_password(address)
        found = re.fullmatch(r"qdrant(?:\+(https?))?://([^?#@]+)/([^/?#]+)", address)
        if found is None or (found[1] and "/" in found[2]):
            raise ConfigurationError(
                f"--out {self.name}: expected qdrant+http://HOST:PORT/COLLECTION or qdrant://FOLDER/COLLECTION"
            )
        scheme, place, self.collection = found.groups()
        client = needed("qdrant_client", "qdrant", self.name)
        self.models = client.models
        self.errors = needed("qdrant_client.http.exceptions", "qdrant", self.name)
        with self._sentences():
            if scheme:
                self.client = client.QdrantClient(
                    url=f"{scheme}://{place}",
                    api_key=config.qdrant_api_key(),
                    timeout=TIMEOUT_SECONDS,
                    check_compatibility=False,  # a request, and a warning of its own where nothing answers
                )
            else:
                check_folder(Path(place), f"--out {address}")
                self.client = client.QdrantClient(path=place)

    def fit(self, first: VectorInfo) -> int:
        with self._sentences():
            if not self.client.collection_exists(self.collection):
                made = self.models.VectorParams(size=first.dimension, distance=self.models.Distance.COSINE)
                self.client.create_collection(self.collection, vectors_config=made)
            found = self.client.get_collection(self.collection).config.params.vectors
        if not isinstance(found, self.models.VectorParams):
            raise ConfigurationError(f"{self.name} is a collection of several named vectors; name another one")
        if found.size != first.dimension:
            raise wrong_dimension(self.name, found.size, first)
        refuse_other_distance(self.name, found.distance.value, first)
        return max(1, min(MOST_PUT, MOST_BYTES // (first.dimension * BYTES_PER_NUMBER)))

    def refusal(self, image_id: str) -> str | None:  # noqa: ARG002 - any text will do
        return None

    def marks(self, image_ids: Sequence[str]) -> Mapping[str, Mark]:
        with self._sentences():
            ids = [point_id(each) for each in image_ids]
            points = self.client.retrieve(self.collection, ids, with_payload=[KEY, *MARK], with_vectors=False)
        return {each.payload[KEY]: mark_of(each.payload) for each in points if each.payload and KEY in each.payload}

    def put(self, vectors: Sequence[StoredVector], numbers: Vectors) -> None:
        batch = self.models.Batch(
            ids=[point_id(each.image_id) for each in vectors],
            vectors=numbers.tolist(),
            payloads=[{KEY: each.image_id, **carried(each)} for each in vectors],
        )
        with self._sentences():
            self.client.upsert(self.collection, batch, wait=True)

    def close(self) -> None:
        self.client.close()

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn the client's errors into ours."""
        try:
            yield
        except self.errors.ResponseHandlingException as error:
            raise TransientError(f"{self.name} does not answer: {error}") from error
        except self.errors.UnexpectedResponse as error:
            sentence = f"{self.name} refuses: {error.status_code} {error.reason_phrase}"
            if error.status_code == 429 or error.status_code >= 500:
                raise TransientError(f"{sentence}; run again") from error
            remedy = "; set QDRANT_API_KEY" if error.status_code in (401, 403) else ""
            raise ConfigurationError(sentence + remedy) from error
        except RuntimeError as error:
            if "already accessed" not in str(error):
                raise
            raise TransientError(f"{self.name} is in use by another process; run again when it is done") from error


def point_id(image_id: str) -> str:
    """Return the id of an image's point, which Qdrant wants to be a number or a UUID."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, image_id))
