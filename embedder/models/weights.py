"""Finds a model's weights: their digest without loading them, their state dict when it is needed.

`python -m embedder.models.weights` exits with 0 if the published weights of the default model are here or can be
downloaded. Otherwise it says why not and exits with 2.
"""

from __future__ import annotations

import hashlib
import logging
import re
import sys
import urllib.error
import urllib.request
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from embedder.errors import ConfigurationError, EmbedderError
from embedder.models import Model, home_of
from embedder.models.catalog import find_model
from embedder.models.hub import HubFile
from embedder.system.files import is_out_of_space, out_of_space, replacing
from embedder.system.steps import step

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT = "default"
RANDOM = "random"
DIGITS = 8
"""The number of hex digits of SHA-256 in a fingerprint. Most of torchvision's file names have as many."""

DOWNLOAD_TIMEOUT = 20
"""Seconds without a byte after which a download fails."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The chosen weights, and the digest that stands for them in fingerprints."""

    choice: str
    digest: str


def find_weights(choice: str, model: Model) -> Weights:
    """Return the chosen weights with their digest, without loading them.

    If only the published file itself tells its digest, the file is downloaded now.

    Raises:
        ConfigurationError: there is no such file, or it cannot be obtained.
        TransientError: the disk is full.
    """
    if choice == DEFAULT:
        return Weights(choice, (model.digest or sha256(published_file(model)))[:DIGITS])
    if choice == RANDOM:
        return Weights(choice, RANDOM)
    try:
        return Weights(choice, sha256(Path(choice))[:DIGITS])
    except OSError as error:
        raise ConfigurationError(
            f"the weights {choice} cannot be read: {error.strerror}; expected default, random, or the path of a "
            "state dict"
        ) from None


def load_state_dict(weights: Weights, model: Model) -> dict[str, Tensor] | None:
    """Return the state dict; None for random weights.

    Raises:
        ConfigurationError: the file cannot be obtained, or is not a state dict.
    """
    if weights.choice == RANDOM:
        return None
    path = published_file(model) if weights.choice == DEFAULT else Path(weights.choice)
    try:
        state = _load(path)
    except Exception as error:
        # For a wrong file, torch.load raises whatever unpickling raises.
        raise ConfigurationError(
            f"{path} is not a state dict that can be loaded safely: {_first_sentence(error)}; save one with "
            "torch.save(model.state_dict(), PATH) or as safetensors"
        ) from error
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and hasattr(value, "shape") for name, value in state.items()
    ):
        raise ConfigurationError(
            f"{path} contains {_kind(state)}; expected a state dict, which maps parameter names to tensors: "
            "torch.save(model.state_dict(), PATH)"
        )
    return state


def published_path(model: Model) -> Path:
    """Return the path of the published file in its library's cache, whether it is there or not."""
    if hub := HubFile.at(model.url):
        return hub.cached() or hub.folder / "snapshots" / "main" / hub.name
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / Path(model.url).name


def published_file(model: Model) -> Path:
    """Return the path of the published file; download it into its library's cache if it is not there.

    Raises:
        ConfigurationError: the file cannot be downloaded or saved, or the cache has another file under its name.
        TransientError: the disk is full.
    """
    path = published_path(model)
    hub = HubFile.at(model.url)
    if not path.exists():
        if not model.url:
            raise ConfigurationError(f"{model.name} has no published weights; give --weights PATH or --weights random")
        try:
            if hub:
                return hub.download()
            _download(model, path)
        except OSError as error:  # urllib's errors are OSErrors, too
            if is_out_of_space(error):
                raise out_of_space(f"the published weights in {path}", error) from error
            raise _unreachable(model, path, error) from None
    if model.digest and not sha256(path).startswith(model.digest):
        raise ConfigurationError(
            f"{path} is not the file that {home_of(model.name)[0].distribution} publishes (its SHA-256 should "
            f"start with {model.digest}); delete it so that it is downloaded again, or pass it as --weights PATH"
        )
    return path


def downloadable_size(model: Model) -> int | None:
    """Ask whether the published file can be downloaded, without doing so.

    Returns:
        Its bytes; None if the server does not say.

    Raises:
        ConfigurationError: the server does not answer, or does not have the file.
    """
    request = urllib.request.Request(model.url, method="HEAD")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=DOWNLOAD_TIMEOUT) as answer:  # noqa: S310
            return int(answer.headers.get("Content-Length") or 0) or None
    except OSError as error:
        # The hub may want the library's token, or have the file under its older name.
        if isinstance(error, urllib.error.HTTPError) and HubFile.at(model.url):
            return None
        raise _unreachable(model, published_path(model), error) from None


def _unreachable(model: Model, path: Path, error: OSError) -> ConfigurationError:
    hub = HubFile.at(model.url)
    copy = f"copy the file to {path}"
    if hub:
        copy = f"copy {hub.folder} from a machine that has run: hf download {hub.repository} {hub.name}"
    return ConfigurationError(
        f"the published weights of {model.name} cannot be downloaded: {model.url}: {_first_sentence(error)}. Let this "
        f"machine reach that address, or {copy}, or give --weights PATH (a state dict of your own), or try things out "
        "with --weights random"
    )


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(model: Model, path: Path) -> None:
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            part = stack.enter_context(replacing(path))
        except OSError as error:
            if is_out_of_space(error):
                raise
            raise ConfigurationError(
                f"the published weights of {model.name} are not here, and they cannot be downloaded because "
                f"{path.parent} cannot be written: {error.strerror}. Give --weights PATH (a state dict), or set "
                "TORCH_HOME to a writable folder such as /tmp/torch, or build a container image that contains them: "
                f"--build-arg MODEL={model.name}"
            ) from None
        # The address comes from the catalog, and the file is checked against its hash.
        with urllib.request.urlopen(model.url, timeout=DOWNLOAD_TIMEOUT) as answer, part.open("wb") as file:  # noqa: S310
            size = int(answer.headers.get("Content-Length") or 0) or None
            with step(f"downloading {model.url}", total=size, unit="B") as advance:
                while block := answer.read(1 << 20):
                    advance(file.write(block))
        if not sha256(part).startswith(model.digest):
            raise OSError("the downloaded file is not the published one: its SHA-256 differs")


def _load(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _first_sentence(error: Exception) -> str:
    return re.split(r"\.\s|\n", str(error).strip())[0][:200] or type(error).__name__


def _kind(state: object) -> str:
    if isinstance(state, dict):
        return f"a dict with {', '.join(map(str, list(state)[:3]))}"
    return f"a {type(state).__name__}"


def main() -> int:
    """Check that the default model's published weights are here or can be downloaded; return the exit code."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    try:
        published_file(find_model("resnet18"))
    except EmbedderError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
