"""The pipeline: joins the stages check, fetch, decode, encode and write in one loop."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Protocol, TypeVar

import numpy as np

from embedder.decoding.processes import IsolatedDecoder
from embedder.encoders import Encoder
from embedder.errors import ImageError, RejectedError, TransientError
from embedder.options import RunOptions
from embedder.pipeline.ledger import Ledger, Named
from embedder.pipeline.number_format import NumberFormat
from embedder.pipeline.recipe import Recipe
from embedder.pipeline.rereading import decode_sample
from embedder.pipeline.skipping import Skipping, Todo
from embedder.pipeline.stopping import Stop
from embedder.records import NO_METADATA, Failure, Picture, Reference, Sample, Stage, StoredVector, Vectors
from embedder.sources import Source
from embedder.stores import Store
from embedder.system.cores import usable_cores
from embedder.system.memory import DECODED_BYTES, FILE_BYTES
from embedder.system.steps import step
from embedder.system.threads import Budget, grouped, parallel_map

FIRST_BATCH = 16
"""The batch size to assume while the model is being loaded."""

UNKNOWN_SIZE = 1 << 20
"""The number of bytes to assume for an image whose size the listing does not give."""

CHECKERS = 2
"""Threads that list and look up images: one looks up a group while the other lists the next."""


class Referring(Protocol):
    """An item of a stage, which belongs to one image."""

    @property
    def reference(self) -> Reference: ...


T = TypeVar("T", bound=Referring)
R = TypeVar("R")


class Pipeline:
    """Streams a source's images through the stages into a store.

    Memory does not depend on the number of images. It is bounded by `2 × FILE_BYTES + DECODED_BYTES`, a few batches of
    pixels, the model, and a child process for each decoding thread. The decoded pictures are in these children. Each
    thread with its child holds one more file.
    """

    def __init__(
        self,
        source: Source,
        store: Store,
        *,
        recipe: Recipe,
        skipping: Skipping,
        options: RunOptions,
        ledger: Ledger,
        stop: Stop,
        progress: Callable[[Ledger], None],
    ) -> None:
        self.source = source
        self.store = store
        self.recipe = recipe
        self.skipping = skipping
        self.options = options
        self.ledger = ledger
        self.stop = stop
        self.progress = progress
        budget = Budget(DECODED_BYTES)
        self.decoder = IsolatedDecoder(
            recipe.preprocessing,
            max_pixels=options.max_pixels,
            exact=options.precision == "full",
            damaged=options.damaged == "embed",
            dates=options.metadata,
            reserve=budget.reserve,
        )
        self.numbers = NumberFormat(options.dtype, normalize=recipe.fingerprint.normalized)
        self.encoder: Encoder | None = None

    def run(self) -> None:
        """Embed every image that is not stored yet. The ledger then has the outcome.

        Raises:
            ConfigurationError: the run must not go on, for example because the store has vectors of another model.
        """
        samples = self._fetch(self._check())
        try:
            for written in self._write(self._encode(self._decode(samples))):
                self.ledger.embed(written)
                self.progress(self.ledger)
        except BaseException:
            self.stop.abandon()
            raise
        finally:
            self.ledger.close()
            try:
                self.decoder.close()
            finally:
                self.source.close()

    @property
    def batch_size(self) -> int:
        """The number of pictures in a batch; an assumption for the queues until the model is loaded."""
        return self.options.batch_size or (self.encoder.batch_size if self.encoder else FIRST_BATCH)

    def _listed(self) -> Iterator[Reference]:
        """List the source until a stop is requested. An image that cannot be listed or stored is a failure."""
        try:
            for item in self.source.references():
                if self.stop.requested:
                    return
                if isinstance(item, Failure):
                    self.ledger.fail(item)
                elif len(item.image_id.encode()) > self.store.max_id_bytes:
                    message = f"the id is longer than the {self.store.max_id_bytes} bytes that {self.store.name} takes"
                    self.ledger.fail_image(item, "check", ImageError("IdTooLong", message))
                else:
                    yield item
        except TransientError as error:
            self.stop.by_source(error)  # images that have been listed are still finished

    def _check(self) -> Iterator[Todo]:
        """List the images, and skip those that are stored already.

        Separate threads do this, so that encoded images are written even while a page of the listing is slow to come.
        """
        groups = grouped(self._listed(), self.store.lookup_group)
        listing = threading.Lock()
        ended = threading.Event()

        def check(_: object) -> list[Todo]:
            with listing:
                group = next(groups, None)
            if group is None:
                ended.set()
                return []
            return self._check_group(group)

        for todo in parallel_map(
            check,
            itertools.takewhile(lambda _: not ended.is_set(), itertools.repeat(None)),
            workers=CHECKERS,
            depth=lambda: CHECKERS + 1,
            name="check",
            cancelled=self.stop.signalled,
        ):
            self.progress(self.ledger)
            yield from todo

    def _check_group(self, references: list[Reference]) -> list[Todo]:
        try:
            stored = {} if self.options.recompute else self.store.lookup([each.image_id for each in references])
        except TransientError as error:
            self._lose_store(references, "check", error)
            return []
        return self._not_done([Todo(each, stored.get(each.image_id)) for each in references])

    def _not_done(self, images: list[Todo]) -> list[Todo]:
        """Skip the images whose vector is stored already, and return the others."""
        left: list[Todo] = []
        done: list[Todo] = []
        for each in images:
            try:
                is_done = each.stored is not None and self.skipping.is_done(each.reference, each.stored)
            except ImageError as error:
                self.ledger.fail_image(each.reference, "check", error)
            else:
                (done if is_done else left).append(each)
        self._skip(done)
        return left

    def _skip(self, done: list[Todo]) -> None:
        """Keep stored vectors, and update where their images are and when those were modified, if that has changed."""
        changed = {each.reference.image_id: each.reference for each in done if each.has_changed_place}
        try:
            for group in grouped(changed, self.store.group or len(changed) or 1):
                images = [(vector, changed[vector.image_id]) for vector in self.store.get(group)]
                if images:  # none, if they were deleted meanwhile
                    self.store.write([replace(vector, source=to.uri, modified=to.modified) for vector, to in images])
        except TransientError as error:
            self._lose_store(changed.values(), "check", error)
            done = [each for each in done if not each.has_changed_place]
        for each in done:
            assert each.stored is not None
            self.ledger.skip(each.stored, moved=each.has_moved)

    def _lose_store(self, images: Iterable[Named], stage: Stage, error: TransientError) -> None:
        """Count images as failed because the store does not answer any more, and stop the run."""
        for image in images:
            self.ledger.fail_image(image, stage, ImageError("StoreUnavailable", str(error), transient=True))
        self.stop.by_store(error)

    def _fetch(self, todo: Iterable[Todo]) -> Iterator[Sample]:
        def fetch(item: Todo) -> Sample | None:
            if self.stop.requested:
                return None  # leave it to the next run
            sample = self.source.read(item.reference)
            # Check again: a local file's ETag is known only now.
            return sample if self._not_done([replace(item, reference=sample.reference)]) else None

        return self._stage(
            "fetch",
            fetch,
            todo,
            workers=self.source.readers,
            depth=lambda: 2 * max(self.batch_size, self.source.readers),
            cost=lambda item: item.reference.size or UNKNOWN_SIZE,
        )

    def _decode(self, samples: Iterable[Sample]) -> Iterator[Picture]:
        def decode(sample: Sample) -> Picture:
            sample, decoded = decode_sample(self.decoder, sample, self.source)
            self.ledger.notice(sample.reference, decoded.notices)
            metadata = decoded.metadata(len(sample.data)) if self.options.metadata else NO_METADATA
            return Picture(reference=sample.reference, pixels=decoded.pixels, metadata=metadata)

        workers = self.options.workers or usable_cores()
        return self._stage(
            "decode",
            decode,
            samples,
            workers=workers,
            depth=lambda: 2 * self.batch_size + workers,
            cost=lambda sample: len(sample.data),
        )

    def _stage(
        self,
        stage: Stage,
        function: Callable[[T], R | None],
        items: Iterable[T],
        *,
        workers: int,
        depth: Callable[[], int],
        cost: Callable[[T], int],
    ) -> Iterator[R]:
        """Apply a function to each image in worker threads. Its ImageErrors become failures."""

        def apply(item: T) -> R | None:
            try:
                with self.ledger.timed(stage):
                    return function(item)
            except ImageError as error:
                self.ledger.fail_image(item.reference, stage, error)
            except TransientError as error:
                self.ledger.fail_image(item.reference, stage, ImageError("Unavailable", str(error), transient=True))
                self.stop.by_source(error)
            return None

        results = parallel_map(
            apply,
            items,
            workers=workers,
            depth=depth,
            name=stage,
            cost=cost,
            budget=FILE_BYTES,
            cancelled=self.stop.signalled,
        )
        return (result for result in results if result is not None)

    def _encode(self, pictures: Iterator[Picture]) -> Iterator[list[StoredVector]]:
        first = next(pictures, None)
        if first is None:
            return
        # Load the model only now, so that a run without images to embed loads none.
        with self.ledger.timed("load"), step(f"loading {self.recipe.fingerprint.model}"):
            encoder = self.encoder = self.recipe.open_encoder()

        def encode(group: list[Picture]) -> list[StoredVector]:
            pixels = np.stack([picture.pixels for picture in group])  # (B, crop, crop, 3)
            with self.ledger.timed("encode"):
                vectors = encoder.encode(pixels)
            return list(self._vectors(group, vectors))

        groups = grouped(itertools.chain([first], pictures), self.batch_size)
        yield from parallel_map(encode, groups, workers=encoder.lanes, depth=lambda: encoder.lanes + 1, name="encode")

    def _vectors(self, pictures: list[Picture], vectors: Vectors) -> Iterator[StoredVector]:
        """Convert the pictures' vectors, (B, D), to records for the store. One that cannot be stored is a failure."""
        made = self.numbers.format(vectors)
        created = datetime.now(UTC).isoformat(timespec="seconds")
        for picture, row, scale, problem in zip(pictures, made.numbers, made.scales, made.problems, strict=True):
            reference, metadata = picture.reference, picture.metadata
            if problem is not None:
                self.ledger.fail_image(reference, "encode", ImageError("NotFinite", problem))
                continue
            yield StoredVector(
                image_id=reference.image_id,
                vector=row.tobytes(),
                data_type=made.data_type,
                dimension=len(row),
                created=created,
                fingerprint=self.skipping.fingerprint,
                etag=reference.etag or "",
                source=reference.uri,
                modified=reference.modified,
                scale=scale,
                width=metadata.width,
                height=metadata.height,
                size=metadata.size,
                format=metadata.format,
                taken=metadata.taken,
            )

    def _write(self, encoded: Iterable[list[StoredVector]]) -> Iterator[list[StoredVector]]:
        def write(group: list[StoredVector]) -> list[StoredVector]:
            with self.ledger.timed("write"):
                return self._store(group)

        # Group vectors within a batch only, so that storing them does not wait for the next batch.
        groups = (group for vectors in encoded for group in grouped(vectors, self.store.group or len(vectors) or 1))
        writers = self.store.writers
        return parallel_map(write, groups, workers=writers, depth=lambda: 2 * writers, name="write")

    def _store(self, group: list[StoredVector]) -> list[StoredVector]:
        """Write a group, and return those of its vectors that were stored. The others are failures."""
        try:
            self.store.write(group)
        except RejectedError as error:
            if len(group) > 1:
                return [stored for vector in group for stored in self._store([vector])]
            self.ledger.fail_image(group[0], "write", ImageError("Rejected", str(error)))
            return []
        except TransientError as error:
            self._lose_store(group, "write", error)
            return []
        return group
