"""`python -m embedder.pipeline.bake [WEIGHTS [MODEL]]`: fills the caches while a container image is built.

Afterwards a run on a CPU needs neither a network for its weights nor torch for its model. The weights are in torch's
cache, checked against their hash. The prepared model is in embedder's cache, proved against torch.
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

ENGINES = ("mnn", "openvino")
"""The default model's engines: which one is faster depends on the processor that the image will run on. With `auto`, a
build in which one of them does not work would succeed, and its image would be slow. Other models get the best engine
that can run them."""


def main(arguments: Sequence[str]) -> int:
    """Fill the caches, print what they contain, and return the exit code."""
    choice, name = (*arguments, *(DEFAULT, RESNET18.name)[len(arguments) :])
    engines = ENGINES if name == RESNET18.name else ("auto",)
    try:
        model = find_model(name)
        if choice == DEFAULT:
            published_file(model)
        checkpoint = Checkpoint.find(model, choice)
        found = [open_encoder(checkpoint, engine=each, device="cpu", precision="full").engine for each in engines]
    except EmbedderError as error:
        print(f"baking: {error}", file=sys.stderr)
        return exit_codes.of_error(error)
    print(f"baked {name} with {choice} weights; for the engine {' and '.join(found)}")
    return exit_codes.DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
