"""`python -m embedder.encoders.bake [WEIGHTS [MODEL]]`: makes all that a first run would, as an image is built.

Afterwards a run on a CPU needs no network for its weights and no torch for its model: weights are in torch's cache with
their hash checked, and the prepared model is in ours, proven against torch.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from embedder import exit_codes
from embedder.encoders.choice import open_encoder
from embedder.errors import EmbedderError
from embedder.models.catalog import RESNET18, find_model
from embedder.models.checkpoint import Checkpoint
from embedder.models.weights import DEFAULT, published_file

ENGINE = "mnn"
"""Of the default model, by name: with `auto` an image in which it does not work would be built, and be half as fast.
Other models get the best engine that can run them."""


def main(arguments: Sequence[str]) -> int:
    """Fill the caches and say with what."""
    choice, name = (*arguments, *(DEFAULT, RESNET18.name)[len(arguments) :])
    engine = ENGINE if name == RESNET18.name else "auto"
    try:
        model = find_model(name)
        if choice == DEFAULT:
            published_file(model)
        encoder = open_encoder(Checkpoint.find(model, choice), engine=engine, device="cpu", precision="full")
    except EmbedderError as error:
        print(f"baking: {error}", file=sys.stderr)
        return exit_codes.of_error(error)
    print(f"baked {name} with {choice} weights; for the engine {encoder.engine}")
    return exit_codes.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
