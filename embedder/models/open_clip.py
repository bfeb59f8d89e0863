"""Models of OpenCLIP: `--model open_clip/ARCHITECTURE/TAG`, as `open_clip.list_pretrained()` names them.

An architecture without published weights is `open_clip/ARCHITECTURE`.

Such a model has two towers, which put images and texts that mean the same next to each other. The image tower is the
backbone. `encode_texts` is the other one: it makes the vectors with which `embedder similar --text` searches.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np

from embedder.errors import ConfigurationError
from embedder.models import Model
from embedder.models.hub import HubFile
from embedder.models.loading import fit, published_digest, seeded
from embedder.records import Preprocessing, Vectors
from embedder.system.files import find_folder
from embedder.system.threads import grouped

find_folder("torch")  # torch needs a temporary folder while it is imported, and would end with a traceback

import torch  # noqa: E402
from torch import nn  # noqa: E402

try:
    import open_clip
    from open_clip.convert import convert_state_dict
    from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed, resize_text_pos_embed
    from open_clip.transform import PreprocessCfg, merge_preprocess_dict
except ImportError:
    raise ConfigurationError(
        "models of OpenCLIP need the package open_clip_torch: pip install 'embedder[clip]'"
    ) from None

FILE = "open_clip_model.safetensors"
"""The name of the weights in a repository for which OpenCLIP names no file."""

FITS: Mapping[str, Literal["short", "both", "pad"]] = {"shortest": "short", "squash": "both", "longest": "pad"}
"""How OpenCLIP calls the ways to make a picture square."""

IMAGE = "visual."
"""What the names of the image tower's parameters begin with."""

TEXTS = 64
"""Texts that are encoded at once."""


class ImageTower(nn.Module):
    """(B, 3, crop, crop) normalised to (B, dimension). What generates captions has more than one output."""

    def __init__(self, visual: nn.Module) -> None:
        super().__init__()
        self.visual = visual

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        found = self.visual(images)
        vectors: torch.Tensor = found[0] if isinstance(found, tuple) else found
        return vectors


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadlessModel:
    """The image tower of a model; a `Backbone`."""

    module: nn.Module
    both: nn.Module
    """The whole model, of which it is a part."""

    def load(self, state: Mapping[str, torch.Tensor]) -> None:
        _load(self.both, state, images=True)


def find(name: str) -> Model:
    """Describe a model; see `Family`."""
    architecture, tag = _parts(name)
    published = open_clip.get_pretrained_cfg(architecture, tag)  # an empty dict, if there is none
    config = open_clip.get_model_config(architecture)
    size = config["vision_cfg"].get("image_size", 224)
    shape = merge_preprocess_dict(asdict(PreprocessCfg()), published)
    if not isinstance(size, int):
        raise ConfigurationError(
            f"open_clip/{name} takes images of {' x '.join(map(str, size))} pixels; embedder supports square ones; "
            "choose another --model"
        )
    repository, _, file = published.get("hf_hub", "").rpartition("/")
    url = HubFile(repository, file or FILE).address if repository else published.get("url", "")
    return Model(
        name=f"open_clip/{name}",
        url=url,
        digest="" if repository else published_digest(url),
        dimension=config["embed_dim"],
        preprocessing=Preprocessing(
            resize=size,
            crop=size,
            interpolation="bilinear" if shape["interpolation"] == "bilinear" else "bicubic",
            mean=tuple(shape["mean"]),
            std=tuple(shape["std"]),
            fit=FITS[shape["resize_mode"]],
            fill=(shape["fill_color"],) * 3,
        ),
        normalize=True,
    )


def build(model: Model) -> HeadlessModel:
    """Make a model; see `Family`."""
    both = _whole(model)
    return HeadlessModel(module=ImageTower(both.visual).eval(), both=both)  # type: ignore[arg-type]


def encode_texts(model: Model, state: Mapping[str, torch.Tensor] | None, texts: Sequence[str]) -> Vectors:
    """Return the vectors of texts, which may be compared with those of images.

    Args:
        state: the state dict of the whole model; None for seeded weights.

    Returns:
        (n, dimension) float32, each of length 1.

    Raises:
        ConfigurationError: the words of this model are told apart by a package or a file that is not here.
        ValueError: the state dict does not fit; the text says where.
    """
    both: Any = _whole(model)
    if state is not None:
        _load(both, state, images=False)
    with _quiet(), torch.inference_mode():
        try:
            tokenizer = open_clip.get_tokenizer(_parts(_own_name(model))[0])
            tokens = [tokenizer(list(part)) for part in grouped(texts, TEXTS)]
        # Whatever the packages raise that other tokenizers come from, or their downloads.
        except Exception as error:
            raise ConfigurationError(
                f"the words of {model.name} cannot be read here: {str(error).strip().splitlines()[0][:200]}; choose a "
                "model with CLIP's own vocabulary, such as open_clip/ViT-B-32/laion2b_s34b_b79k, or pip install "
                "transformers sentencepiece and let this machine reach huggingface.co"
            ) from error
        vectors: Vectors = np.concatenate([both.encode_text(each, normalize=True).float().numpy() for each in tokens])
    return vectors


def _own_name(model: Model) -> str:
    return model.name.removeprefix("open_clip/")


def _parts(name: str) -> tuple[str, str]:
    """Return a model's architecture and the tag of its published weights, empty if it has none.

    Raises:
        ConfigurationError: OpenCLIP has no such model.
    """
    architecture, _, tag = name.partition("/")
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if tag in tags or (name in open_clip.list_models() and not tags):
        return architecture, tag
    if tags:
        raise ConfigurationError(
            f"there is no model open_clip/{name}; open_clip/{architecture}/ is followed by one of: {', '.join(tags)}"
        )
    known = sorted({each for each, _ in open_clip.list_pretrained()})
    close = get_close_matches(architecture, known, n=4, cutoff=0.4) or known
    raise ConfigurationError(f"there is no model open_clip/{name}; similar architectures are: {', '.join(close)}")


def _whole(model: Model) -> nn.Module:
    """Make both towers, with seeded weights."""
    architecture, tag = _parts(_own_name(model))
    # Weights that were trained with the quick approximation of GELU need it, whatever the architecture's name says.
    quick = bool(open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu"))
    with _quiet():
        try:
            return seeded(lambda: open_clip.create_model(architecture, force_quick_gelu=quick, pretrained_text=False))
        except (ImportError, RuntimeError, OSError) as error:
            raise ConfigurationError(
                f"open_clip/{architecture} cannot be made here: {str(error).strip().splitlines()[0][:200]}; its text "
                "tower needs the package transformers and a file from huggingface.co; choose another --model"
            ) from error


def _load(both: nn.Module, state: Mapping[str, torch.Tensor], *, images: bool) -> None:
    """Load one tower's weights from a state dict of the whole model.

    Raises:
        ValueError: they do not fit; the text says where.
    """
    renamed: dict[str, Any] = {name.removeprefix("module."): value for name, value in state.items()}
    own = both.state_dict()
    renamed = convert_state_dict(both, renamed)
    if "positional_embedding" in renamed and "positional_embedding" not in own:
        renamed = convert_to_custom_text_state_dict(renamed)
    if images:
        resize_pos_embed(renamed, both)
    else:
        resize_text_pos_embed(renamed, both)
        renamed.pop("text.transformer.embeddings.position_ids", None)  # of older versions of transformers

    def wanted(name: str) -> bool:
        scales = ("logit_scale", "logit_bias")  # of the training's loss
        return name.startswith(IMAGE) == images and name not in scales

    kept = {name: value for name, value in renamed.items() if wanted(name)}
    fit(both, {**{name: value for name, value in own.items() if not wanted(name)}, **kept})


@contextmanager
def _quiet() -> Iterator[None]:
    """Drop what OpenCLIP logs: it uses the root logger, tells each of its steps, and warns that weights are missing."""
    logger = logging.getLogger()

    def drop(_record: logging.LogRecord) -> bool:
        return False

    silent = logging.NullHandler()  # without any handler, logging would set one up for good
    logger.addHandler(silent)
    logger.addFilter(drop)
    try:
        yield
    finally:
        logger.removeFilter(drop)
        logger.removeHandler(silent)
