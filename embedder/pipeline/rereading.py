"""Decoding what came over a network: if it is broken, the transfer may have broken it, so it is read once more."""

from __future__ import annotations

from typing import Protocol

from embedder.decoding.decoded import Decoded
from embedder.decoding.processes import IsolatedDecoder
from embedder.errors import ImageError
from embedder.pipeline.ledger import DAMAGED
from embedder.records import Reference, Sample


class Origin(Protocol):
    """Where a sample came from: a `Source`, or a `Reader`."""

    remote: bool

    def read(self, reference: Reference) -> Sample:
        """Read the sample once more."""


def decode_sample(decoder: IsolatedDecoder, sample: Sample, origin: Origin) -> tuple[Sample, Decoded]:
    """Decode a sample, and return it with its picture: as it was, or as it was read the second time.

    Raises:
        ImageError: it is not a whole image, or it cannot be read again.
    """
    decoded: Decoded | None = None
    try:
        decoded = decoder.decode(sample.data)
    except ImageError:
        if not origin.remote:
            raise
    if decoded is None or (origin.remote and DAMAGED in decoded.notices):
        sample = origin.read(sample.reference)
        decoded = decoder.decode(sample.data)
    return sample, decoded
