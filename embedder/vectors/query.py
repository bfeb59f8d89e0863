"""The vector of a picture that is not stored: made as a store's own vectors were, by a run of one image."""

from __future__ import annotations

from typing import Any

from embedder.errors import ConfigurationError, TransientError
from embedder.exit_codes import TRY_AGAIN
from embedder.models.catalog import find_model, fingerprint
from embedder.models.weights import RANDOM, find_weights
from embedder.pipeline.session import embed
from embedder.records import Vectors
from embedder.stores import Store
from embedder.system.temporary import temporary_folder
from embedder.vectors.reader import read


def stored_fingerprint(store: Store, wanted: str | None) -> str:
    """Say which model and weights a query has to be embedded with.

    Raises:
        ConfigurationError: the store is empty, or says of its vectors nothing that could be done again.
    """
    if wanted is not None:
        return wanted
    sample = store.sample()
    if sample is None:
        raise ConfigurationError(f"there is no vector in {store.name} to compare with")
    return sample.fingerprint


def embed_query(image: str, identity: str, *, store: str, weights: str, device: str, engine: str) -> Vectors:
    """Embed one file or `s3://` object with the model that `identity` names; (dimension,).

    Args:
        identity: the fingerprint of the vectors that it will be compared with.
        store: how they are called, for the sentences.

    Raises:
        ConfigurationError: other weights are needed, or there is no such image or it cannot be embedded.
        TransientError: it cannot be had at the moment, or temporary files find no room.
    """
    try:
        name, digest, _version, dtype, *rest = identity.split("/")
        model = find_model(name)
    except (ValueError, ConfigurationError) as error:
        raise ConfigurationError(
            f"the vectors in {store} were made by {identity or 'something unknown'}, which cannot be done again here "
            f"({error}); give the id of a stored image as the query"
        ) from None
    chosen = find_weights(weights, model)
    normalize = rest == ["normalized"]
    _refuse_other_weights(identity, fingerprint(model, chosen.digest, dtype, normalize=normalize), digest, store)
    with temporary_folder("a query that is not stored") as folder:
        own = folder / "query.db"
        options: dict[str, Any] = {
            "model": name,
            "weights": weights,
            "dtype": dtype,
            "normalize": normalize,
            "device": device,
            "engine": engine,
        }
        report = embed(image, own, **options)
        if report.exit_code == TRY_AGAIN:
            reason = report.stopped or report.first_failures[0].message
            raise TransientError(f"{image} cannot be embedded at the moment: {reason}")
        if report.images != 1:
            raise ConfigurationError(f"{image} holds {report.images:,} images; a query is one image or a stored id")
        if report.failed:
            raise ConfigurationError(f"{image} cannot be embedded: {report.first_failures[0].message}")
        query: Vectors = read(str(own))[1][0]
        return query


def _refuse_other_weights(stored: str, here: str, digest: str, store: str) -> None:
    if here == stored:
        return
    if here.split("/")[1] == digest:
        remedy = "give the id of a stored image as the query, or take the version of embedder that made them"
    elif digest == RANDOM:
        remedy = "pass --weights random"
    else:
        remedy = f"pass --weights PATH, the state dict whose SHA-256 begins with {digest}"
    raise ConfigurationError(
        f"the vectors in {store} were made by {stored}, and the query would be by {here}, which cannot be compared; "
        + remedy
    )
