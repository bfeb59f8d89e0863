"""The table of all options of `embedder run`.

Each option is a field of `RunOptions`. Values come in layers: the command line, the variables `EMBEDDER_<OPTION>`, the
keywords of the Python function, and a run's `run.json`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypedDict

from embedder.errors import ConfigurationError

DEFAULT_STORE = "./vectors.db"
"""The default store. A run has a table of its own instead."""
DEFAULT_SUFFIXES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "avif")
DEFAULT_MAX_PIXELS = 178_956_970
"""Pillow's own limit: a 24-bit picture of half a gibibyte."""

ImageIdMode = Literal["key", "uri", "stem"]


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """How many images of a run may fail: a count, or a percentage of all images."""

    value: float
    percent: bool

    @classmethod
    def parse(cls, text: str) -> FailureLimit:
        percent = text.endswith("%")
        try:
            value = float(text.removesuffix("%")) if percent else int(text)
        except ValueError:
            raise ValueError("expected a count such as 10 or a percentage such as 5%") from None
        if value < 0 or (percent and not value <= 100):
            raise ValueError("expected a count of at least 0 or a percentage from 0% to 100%")
        return cls(value, percent)

    def exceeded(self, *, failed: int, images: int) -> bool:
        """Return whether there are too many failures. If every image failed, there always are."""
        if failed and failed == images:
            return True
        return failed > (images * self.value / 100 if self.percent else self.value)

    def __str__(self) -> str:
        return f"{self.value:g}%" if self.percent else f"{self.value:g}"


def _positive(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise ValueError("expected a whole number of at least 1")
    return value


def choice(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"expected one of: {', '.join(names)}")
        return text

    return parse


def switch(text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("0", "false", "no", "off", ""):
        return False
    raise ValueError("expected true or false")


def _suffixes(text: str) -> tuple[str, ...]:
    found = tuple(part.strip().lstrip(".").lower() for part in text.split(",") if part.strip())
    if not found:
        raise ValueError("expected suffixes separated by commas, such as jpg,png")
    return found


GROUPS = ("common", "model", "speed", "failures", "cloud")
"""The groups of options, in the order in which the help shows them."""


def _option(
    default: Any, parse: Callable[[str], Any], help: str, metavar: str | None = None, *, group: str = "common"
) -> Any:
    """Define an option.

    Args:
        help: one line of at most 55 characters; docs/reference.md says the rest.
        group: one of `GROUPS`.
    """
    assert group in GROUPS
    return field(default=default, metadata={"parse": parse, "help": help, "metavar": metavar, "group": group})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options of `embedder run`. Their names are those of the command line, with `_` for `-`."""

    model: str = _option("resnet18", str, "torchvision's NAME, timm/… or open_clip/… (resnet18)", "NAME", group="model")
    weights: str = _option("default", str, "default (the published file), random, or a PATH", "W", group="model")
    device: str = _option("auto", choice("auto", "cpu", "cuda"), "auto, cpu or cuda (auto)", "D", group="speed")
    engine: str = _option("auto", str, "what runs the model: auto or one of {engines}", "NAME", group="speed")
    precision: Literal["auto", "full"] = _option(
        "auto",
        choice("auto", "full"),
        "auto: half precision where it is as good; full: float32",
        "P",
        group="speed",
    )
    batch_size: int | None = _option(
        None, _positive, "images per call of the model (by engine and device)", "N", group="speed"
    )
    cores: int | None = _option(
        None, _positive, "processors to use (all, or the container's quota)", "N", group="speed"
    )
    workers: int | None = _option(None, _positive, "decoding threads (one for each core)", "N", group="speed")
    dtype: str = _option(
        "float32",
        choice("float32", "float16", "uint8", "int8"),
        "stored numbers: float32, float16, uint8, int8 (float32)",
        "DTYPE",
        group="model",
    )
    normalize: bool | None = _option(None, switch, "scale every vector to length 1 (only for OpenCLIP)", group="model")
    image_id: ImageIdMode = _option(
        "key",
        choice("key", "uri", "stem"),
        "an image's id: key (path in SOURCE), uri or stem (key)",
        "MODE",
    )
    metadata: bool = _option(False, switch, "store size, format and date taken beside each vector")
    recompute: bool = _option(False, switch, "embed every image again and replace what is stored")
    max_failures: FailureLimit = _option(
        FailureLimit(100, percent=True),
        FailureLimit.parse,
        "exit with 65 if more fail: a count or a percentage (100%%)",
        "N|P%",
        group="failures",
    )
    max_pixels: int = _option(
        DEFAULT_MAX_PIXELS, _positive, "refuse larger images (178956970 pixels)", "N", group="failures"
    )
    allow_mixed: bool = _option(False, switch, "add to a store with vectors of another model", group="model")
    prune: bool = _option(False, switch, "afterwards delete vectors whose image no longer exists")
    index: bool = _option(False, switch, "write for a DynamoDB table's vector index, too", group="cloud")
    suffixes: tuple[str, ...] = _option(
        DEFAULT_SUFFIXES,
        _suffixes,
        "which files are images (jpg,jpeg,png,webp,bmp,gif,…)",
        "A,B",
    )
    hidden: bool = _option(False, switch, "take hidden files and folders, too")
    allow_private: bool = _option(False, switch, "read from web servers of this network, too", group="cloud")
    damaged: Literal["fail", "embed"] = _option(
        "fail",
        choice("fail", "embed"),
        "fail, or embed what is left of a damaged image (fail)",
        "D",
        group="failures",
    )
    failures: Path | None = _option(
        None, Path, "write one JSON line for each failure to a file", "FILE", group="failures"
    )
    notices: Path | None = _option(None, Path, "the same for damage that touches no pixel", "FILE", group="failures")

    @classmethod
    def resolve(cls, *layers: Layer) -> RunOptions:
        """Parse every value and merge the layers. The first layer that has an option wins.

        Raises:
            ConfigurationError: an option is unknown, or a value does not parse.
        """
        chosen: dict[str, Any] = {}
        for layer in layers:
            chosen = {**layer.parsed(), **chosen}
        return cls(**chosen)


OPTIONS = {item.name: item for item in fields(RunOptions)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """The options that one origin gives, such as the environment, not parsed yet."""

    values: Mapping[str, Any]
    """Texts or Python values, by the names of `RunOptions`. None means that the option is not given."""
    called: Callable[[str], str] = "option {}".format
    """Returns how this origin writes an option's name; for messages."""

    def parsed(self) -> dict[str, Any]:
        """Return the values, parsed.

        Raises:
            ConfigurationError: an option is unknown, or a value does not parse.
        """
        if unknown := set(self.values) - set(OPTIONS):
            raise ConfigurationError(f"there is no option {min(unknown)!r}; see embedder run --help")
        return {name: self._parse(name, value) for name, value in self.values.items() if value is not None}

    def _parse(self, name: str, value: Any) -> Any:
        if isinstance(value, bool):
            text = "true" if value else "false"
        elif isinstance(value, list | tuple):
            text = ",".join(map(str, value))
        else:
            text = str(value)
        try:
            return OPTIONS[name].metadata["parse"](text)
        except ValueError as error:
            raise ConfigurationError(f"{self.called(name)}: {text!r} is not valid: {error}") from None


class ModelOptions(TypedDict, total=False):
    """The keywords of `Embedder`: the options that say how pictures become vectors."""

    model: str
    weights: str | Path
    device: Literal["auto", "cpu", "cuda"]
    engine: str
    precision: Literal["auto", "full"]
    batch_size: int
    cores: int
    workers: int
    normalize: bool
    max_pixels: int
    damaged: Literal["fail", "embed"]


class Options(ModelOptions, total=False):
    """The keywords of `embed`: the same options, with the types that a caller may use."""

    dtype: Literal["float32", "float16", "uint8", "int8"]
    image_id: ImageIdMode
    metadata: bool
    recompute: bool
    max_failures: int | str
    """A count, or a percentage such as `5%`."""
    allow_mixed: bool
    prune: bool
    index: bool
    suffixes: str | Sequence[str]
    hidden: bool
    allow_private: bool
    failures: str | Path
    notices: str | Path


def environment_name(option: str) -> str:
    """`batch_size` → `EMBEDDER_BATCH_SIZE`."""
    return f"EMBEDDER_{option.upper()}"


def option_name(option: str) -> str:
    """`batch_size` → `--batch-size`."""
    return f"--{option.replace('_', '-')}"
