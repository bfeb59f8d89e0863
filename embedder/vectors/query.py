"""Embeds a query that is not stored, in the same way as the store's own vectors: an image, or words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from embedder.errors import ConfigurationError, ImageError, TransientError
from embedder.models.catalog import find_model
from embedder.models.checkpoint import Checkpoint, NoWordsError
from embedder.models.weights import RANDOM
from embedder.pipeline.embedder import Embedder
from embedder.pipeline.handed import OneImage
from embedder.pipeline.recipe import fingerprint_here
from embedder.records import Fingerprint, Vectors
from embedder.stores import Store

STORED_QUERY = "give the id of a stored image as the query"
"""What always works: it needs no model."""


def stored_fingerprint(store: Store, wanted: str | None) -> str:
    """Return the fingerprint that a query's vector must have so that it can be compared with the stored ones.

    Args:
        wanted: the fingerprint that the user asked for, if any.

    Raises:
        ConfigurationError: the store is empty.
    """
    if wanted is not None:
        return wanted
    sample = store.sample()
    if sample is None:
        raise ConfigurationError(f"there is no vector in {store.name} to compare with")
    return sample.fingerprint


def embed_query(image: OneImage, identity: str, *, store: str, weights: str, device: Any, engine: str) -> Vectors:
    """Embed one image with the model that a fingerprint names.

    Args:
        image: a path or address, or an image in memory.
        identity: the fingerprint of the vectors to compare with.
        store: the name of their store, for messages.

    Returns:
        The vector, (dimension,).

    Raises:
        ConfigurationError: other weights are needed, there is no such image, or it cannot be embedded.
        TransientError: the image cannot be read at the moment.
    """
    stored = _checkpoint(identity, store, weights, STORED_QUERY)[0]
    try:
        with Embedder(
            model=stored.model,
            weights=weights,
            normalize=stored.normalized,
            device=device,
            engine=engine,
            progress=False,  # its steps are shown where the caller's are
        ) as embedder:
            query: Vectors = embedder(image)[0]
    except ImageError as error:
        if error.transient:
            raise TransientError(f"the query cannot be embedded at the moment: {error.message}") from error
        raise ConfigurationError(f"the query cannot be embedded: {error.message}") from error
    return query


def embed_text(text: str, identity: str, *, store: str, weights: str) -> Vectors:
    """Embed words with the text tower of the model that a fingerprint names.

    Args:
        identity: the fingerprint of the vectors to compare with.
        store: the name of their store, for messages.

    Returns:
        The vector, (dimension,), of length 1.

    Raises:
        ConfigurationError: the model has no text tower, other weights are needed, or the text is empty.
        TransientError: the disk is full.
    """
    if not text.strip():
        raise ConfigurationError("--text is empty; say what the pictures should show")
    try:
        found: Vectors = _embed_texts([text], identity, store, weights, STORED_QUERY)[0]
    except NoWordsError as error:
        raise ConfigurationError(f"the vectors in {store} cannot be searched by words: {error}") from None
    return found


def embed_labels(labels: Sequence[str], identity: str, *, store: str, weights: str) -> Vectors:
    """Embed labels as `embed_text` embeds a query.

    Returns:
        (labels, dimension), each of length 1.

    Raises:
        ConfigurationError: the model has no text tower, or other weights are needed.
        TransientError: the disk is full.
    """
    try:
        return _embed_texts(labels, identity, store, weights, "make the page without labels")
    except NoWordsError as error:
        raise ConfigurationError(f"the images in {store} cannot be labelled with words: {error}") from None


def _embed_texts(texts: Sequence[str], identity: str, store: str, weights: str, remedy: str) -> Vectors:
    return _checkpoint(identity, store, weights, remedy)[1].encode_texts(texts)


def _checkpoint(identity: str, store: str, weights: str, remedy: str) -> tuple[Fingerprint, Checkpoint]:
    """Return the parts of a fingerprint, and the model and weights that make vectors of that fingerprint.

    Args:
        remedy: what to do where there is no such model or version here.

    Raises:
        ConfigurationError: there is no such model here, or these weights make other vectors.
    """
    try:
        stored = Fingerprint.parse(identity)
        model = find_model(stored.model)
    except (ValueError, ConfigurationError) as error:
        raise ConfigurationError(
            f"the vectors in {store} were made by {identity or 'an unknown model'}, which this installation cannot use "
            f"({error}); {remedy}"
        ) from None
    checkpoint = Checkpoint.find(model, weights)
    here = fingerprint_here(checkpoint, stored.data_type, normalize=stored.normalized)
    _refuse_other_weights(stored, here, store, remedy)
    return stored, checkpoint


def _refuse_other_weights(stored: Fingerprint, here: Fingerprint, store: str, remedy: str) -> None:
    if here == stored:
        return
    if here.digest == stored.digest:
        remedy = f"{remedy}, or use the versions of embedder and Pillow that made the vectors"
    elif stored.digest == RANDOM:
        remedy = "pass --weights random"
    else:
        remedy = f"pass --weights PATH, the state dict whose SHA-256 begins with {stored.digest}"
    raise ConfigurationError(
        f"the vectors in {store} were made by {stored}, but here they would be made by {here}, and the two cannot be "
        f"compared; {remedy}"
    )
