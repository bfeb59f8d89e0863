"""The worker's fixtures, for what these tests do to it."""

from __future__ import annotations

from tests.embedder.conftest import (  # noqa: F401
    bucket,
    encoder,
    impatient,
    moto_bucket,
    prepared_models,
    store_name,
    table,
    use_environment,
)
