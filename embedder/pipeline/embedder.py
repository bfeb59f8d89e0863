"""`Embedder`: a model that is loaded once and turns pictures in memory into vectors."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, Unpack, overload

import numpy as np
from PIL import Image

from embedder.decoding import exif
from embedder.decoding.fitting import Fitter
from embedder.decoding.processes import IsolatedDecoder
from embedder.encoders.own import OwnEncoder
from embedder.errors import ConfigurationError, ImageError
from embedder.options import Layer, ModelOptions, RunOptions
from embedder.pipeline.handed import Images, OneImage, named, picture, reference
from embedder.pipeline.number_format import NumberFormat
from embedder.pipeline.progress import steps_shown
from embedder.pipeline.recipe import recipe
from embedder.pipeline.rereading import decode_sample
from embedder.records import Failure, Pixels, Sample, Stage, Vectors
from embedder.sources import Readers
from embedder.system.cores import sharing, usable_cores
from embedder.system.memory import DECODED_BYTES
from embedder.system.steps import step
from embedder.system.threads import Budget, grouped, parallel_map

FETCHERS = 16
"""Addresses that are read at once, which hides the latency of a network."""

LOADERS = 64
"""Locks under which Pillow's images are loaded. One image may be handed in twice, and Pillow does not bear that two
threads load it."""

T = TypeVar("T")
R = TypeVar("R")


class Embedder:
    """A model that is loaded once, and turns pictures in memory into vectors as `embed` does.

    Args:
        encoder: your own model, an `OwnEncoder`. It replaces the options that choose a model.
        progress: whether a notebook or a terminal shows what takes seconds: a download, preparing the model.
        options: those of `embed` that say how a picture becomes a vector: `model`, `weights`, `precision`, `device`,
            `engine`, `batch_size`, `cores`, `workers`, `normalize`, `max_pixels`, `damaged`.

    Raises:
        ConfigurationError: an option is unknown or wrong, or the weights cannot be had.

    Threads may share an Embedder. Close it, or use it as a context manager, to end its decoding processes at once;
    else they end with it. Pickling one keeps its settings alone, so that unpickling loads the model again: this is how
    Ray, Daft and Spark can build one in each worker.
    """

    def __init__(
        self, *, encoder: OwnEncoder | None = None, progress: bool = True, **options: Unpack[ModelOptions]
    ) -> None:
        if unknown := sorted(set(options) - set(ModelOptions.__annotations__)):
            expected = ", ".join(ModelOptions.__annotations__)
            raise ConfigurationError(f"Embedder has no option {unknown[0]!r}; it has {expected}")
        self.settings = (encoder, progress, options)
        chosen = self.options = RunOptions.resolve(Layer(values=dict(options)))
        with steps_shown(progress):
            made = recipe(chosen, encoder)
            with sharing(chosen.cores), step(f"loading {made.fingerprint.model}"):
                self.encoder = made.open_encoder()
                self.workers = chosen.workers or usable_cores()
        self.fingerprint = str(made.fingerprint)
        """What produced the vectors, as a store names it."""
        self.dimension = made.dimension
        """The numbers in a vector."""
        self.process = os.getpid()
        exact = chosen.precision == "full"
        self.fitter = Fitter(made.preprocessing, exact=exact)
        self.decoder = IsolatedDecoder(
            made.preprocessing,
            max_pixels=chosen.max_pixels,
            exact=exact,
            damaged=chosen.damaged == "embed",
            reserve=Budget(DECODED_BYTES).reserve,
        )
        self.numbers = NumberFormat("float32", normalize=made.fingerprint.normalized)
        self.readers = Readers(threading.Event())
        self.loading = [threading.Lock() for _ in range(LOADERS)]
        self.fetching = ThreadPoolExecutor(FETCHERS, "fetch")
        self.decoding = ThreadPoolExecutor(self.workers, "decode")  # its threads keep their decoding processes
        self.encoding = ThreadPoolExecutor(self.encoder.lanes, "encode")
        pools = [self.fetching, self.decoding, self.encoding]
        self._finalizer = weakref.finalize(self, _release, self.decoder, self.readers, pools)

    @overload
    def __call__(self, images: Images, *, errors: Literal["raise"] = "raise") -> Vectors:
        """Raise at the first image that cannot be embedded."""

    @overload
    def __call__(self, images: Images, *, errors: Literal["none"]) -> tuple[Vectors, list[Failure | None]]:
        """Return the failures beside the vectors."""

    def __call__(
        self, images: Images, *, errors: Literal["raise", "none"] = "raise"
    ) -> Vectors | tuple[Vectors, list[Failure | None]]:
        """Embed one image or several.

        Args:
            images: paths or addresses (`s3://…`, `https://…`), bytes of image files, PIL images, arrays of uint8 pixels
                (H, W, 3), or any iterable of these.
            errors: what becomes of an image that cannot be read or decoded: `raise`, or `none` for a row of NaN.

        Returns:
            The vectors in the order of the images, (N, dimension) float32; N is 1 for a single image. With
            `errors="none"` also a list of N: a `Failure`, which names the error and its stage, or None.

        Raises:
            ImageError: an image cannot be embedded, and `errors` is `raise`.
            ConfigurationError: something is not an image, or this Embedder is closed or another process's.
            TransientError: nothing can be read at the moment.
        """
        if errors not in ("raise", "none"):
            raise ConfigurationError(f"errors={errors!r}: expected 'raise' or 'none'")
        self._check_open()
        call = _Call(named(images), self.dimension, strict=errors == "raise")
        try:
            self._embed(call)
        except (RuntimeError, CancelledError):
            self._check_open()  # closed by another thread meanwhile
            raise
        return call.vectors if call.strict else (call.vectors, call.failures)

    def close(self) -> None:
        """End the decoding processes. Calls that other threads still make raise ConfigurationError."""
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        return _with_settings, self.settings

    def __repr__(self) -> str:
        state = "" if self._finalizer.alive else ", closed"
        return f"<Embedder {self.fingerprint}, {self.encoder.engine} on {self.encoder.device}{state}>"

    def _check_open(self) -> None:
        if not self._finalizer.alive:
            raise ConfigurationError("this Embedder is closed; make another one")
        if os.getpid() != self.process:
            raise ConfigurationError(
                "this Embedder was made in another process, whose threads a fork does not copy; make one here"
            )

    def _embed(self, call: _Call) -> None:
        batch = self.options.batch_size or self.encoder.batch_size
        ahead = 2 * batch + self.workers
        samples = parallel_map(
            call.tried("fetch", self._fetch),
            enumerate(image for _, image in call.images),
            workers=FETCHERS,
            depth=lambda: ahead,
            name="fetch",
            executor=self.fetching,
        )
        pictures = parallel_map(
            call.tried("decode", self._decode),
            (each for each in samples if each is not None),
            workers=self.workers,
            depth=lambda: ahead,
            name="decode",
            executor=self.decoding,
        )
        groups = grouped((each for each in pictures if each is not None), batch)
        lanes = self.encoder.lanes
        for group, made in parallel_map(
            self._encode, groups, workers=lanes, depth=lambda: lanes + 1, name="encode", executor=self.encoding
        ):
            for (row, _), vector, problem in zip(group, made.numbers, made.problems, strict=True):
                if problem is None:
                    call.vectors[row] = vector
                else:
                    call.fail(row, "encode", ImageError("NotFinite", problem))

    def _fetch(self, image: OneImage) -> OneImage | Sample:
        return self.readers.read(reference(image)) if isinstance(image, str | Path) else image

    def _decode(self, image: OneImage | Sample) -> Pixels:
        """Return an image as the model sees it, (crop, crop, 3)."""
        if image is None:
            raise ImageError("Empty", "there is no image")
        if isinstance(image, Sample):
            return decode_sample(self.decoder, image, self.readers.of(image.reference.uri))[1].pixels
        if isinstance(image, Image.Image | np.ndarray):
            # Pixels need no decoder of bytes from strangers, and so no process.
            with self.loading[id(image) // LOADERS % LOADERS]:
                loaded = picture(image, self.options.max_pixels)
            return self.fitter.fit(loaded, exif.orientation(loaded))
        assert not isinstance(image, str | Path)
        return self.decoder.decode(bytes(image)).pixels

    def _encode(self, group: list[tuple[int, Pixels]]) -> tuple[list[tuple[int, Pixels]], Any]:
        return group, self.numbers.format(self.encoder.encode(np.stack([pixels for _, pixels in group])))


class _Call:
    """What one call was given, and what has become of it."""

    def __init__(self, images: list[tuple[str, OneImage]], dimension: int, *, strict: bool) -> None:
        self.images = images
        self.strict = strict
        self.vectors: Vectors = np.full((len(images), dimension), np.nan, np.float32)
        self.failures: list[Failure | None] = [None] * len(images)

    def tried(self, stage: Stage, function: Callable[[T], R]) -> Callable[[tuple[int, T]], tuple[int, R] | None]:
        """Make a stage of a function: from a row and its image to the row and the result, or None for a failure."""

        def attempt(item: tuple[int, T]) -> tuple[int, R] | None:
            row, image = item
            try:
                return row, function(image)
            except ImageError as error:
                self.fail(row, stage, error)
                return None

        return attempt

    def fail(self, row: int, stage: Stage, error: ImageError) -> None:
        """Note a failure, or raise it."""
        name = self.images[row][0]
        if self.strict:
            raise ImageError(error.error, f"{name}: {error.message}", transient=error.transient) from error
        self.failures[row] = Failure(
            image_id=name, stage=stage, error=error.error, message=error.message, transient=error.transient
        )


def _with_settings(encoder: OwnEncoder | None, progress: bool, options: ModelOptions) -> Embedder:
    return Embedder(encoder=encoder, progress=progress, **options)


def _release(decoder: IsolatedDecoder, readers: Readers, pools: list[ThreadPoolExecutor]) -> None:
    decoder.close()
    readers.close()
    for pool in pools:
        pool.shutdown(wait=False, cancel_futures=True)
