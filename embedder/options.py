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


def _option(default: Any, parse: Callable[[str], Any], help: str, metavar: str | None = None) -> Any:
    return field(default=default, metadata={"parse": parse, "help": help, "metavar": metavar})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions:
    """The options of `embedder run`. Their names are those of the command line, with `_` for `-`."""

    model: str = _option(
        "resnet18",
        str,
        "any classification model of torchvision, without its classifier (default: resnet18), timm/NAME, or "
        "open_clip/ARCHITECTURE/TAG",
        "NAME",
    )
    weights: str = _option(
        "default",
        str,
        "default: torchvision's published file; random: seeded, for trying things out; "
        "or the PATH of a state dict, .pth or .safetensors",
        "default|random|PATH",
    )
    device: str = _option(
        "auto",
        choice("auto", "cpu", "cuda"),
        "where the model runs (default: auto, which is cuda if there is a GPU)",
        "auto|cpu|cuda",
    )
    engine: str = _option(
        "auto",
        str,
        "the library that runs the model: one of {engines}, or auto, the default, which is the fastest installed one "
        "that reproduces torch's vectors",
        "NAME",
    )
    precision: Literal["auto", "full"] = _option(
        "auto",
        choice("auto", "full"),
        "auto, the default: half precision if that is faster and every vector keeps a cosine of 0.9999 to float32; "
        "full: float32 throughout, with a relative error of at most 1e-3",
        "auto|full",
    )
    batch_size: int | None = _option(
        None, _positive, "images per call of the model (default: chosen by engine and device)", "N"
    )
    cores: int | None = _option(None, _positive, "processors to use (default: all, or the container's quota)", "N")
    workers: int | None = _option(None, _positive, "decoding threads (default: one for each core)", "N")
    dtype: str = _option(
        "float32",
        choice("float32", "float16", "uint8", "int8"),
        "the type of the stored numbers (default: float32); uint8 takes one byte for each number, and becomes int8 if "
        "some are negative",
        "float32|float16|uint8|int8",
    )
    normalize: bool | None = _option(
        None, switch, "whether to scale every vector to length 1 (default: only for models of OpenCLIP)"
    )
    image_id: ImageIdMode = _option(
        "key",
        choice("key", "uri", "stem"),
        "what identifies an image: key (the default), its S3 key or its path in the folder; uri, its URI; or stem, its "
        "file name without suffix",
        "key|uri|stem",
    )
    recompute: bool = _option(False, switch, "embed every image again and replace what is stored")
    max_failures: FailureLimit = _option(
        FailureLimit(100, percent=True),
        FailureLimit.parse,
        "how many images may fail, a count or a percentage; if more do, or all, the exit code is 65 (default: 100%%)",
        "N|P%",
    )
    max_pixels: int = _option(
        DEFAULT_MAX_PIXELS, _positive, "refuse images with more pixels than this (default: 178956970)", "N"
    )
    allow_mixed: bool = _option(False, switch, "write to a store that holds vectors of another model or other weights")
    prune: bool = _option(
        False, switch, "at the end, delete the vectors whose image no longer exists (folders and prefixes only)"
    )
    suffixes: tuple[str, ...] = _option(
        DEFAULT_SUFFIXES,
        _suffixes,
        f"the suffixes of image files, in upper or lower case (default: {','.join(DEFAULT_SUFFIXES)})",
        "A,B,…",
    )
    hidden: bool = _option(
        False, switch, "take hidden files and folders too, whose name begins with a dot (default: no)"
    )
    allow_private: bool = _option(
        False, switch, "read images from web servers of this machine or its network too (default: no)"
    )
    damaged: Literal["fail", "embed"] = _option(
        "fail",
        choice("fail", "embed"),
        "how to treat an image that has lost part of its data: fail (the default), or embed what is left of it",
        "fail|embed",
    )
    failures: Path | None = _option(None, Path, "write one JSON line for each failure to this file", "FILE")
    notices: Path | None = _option(
        None, Path, "write one JSON line to this file for each image whose damage touches no pixel", "FILE"
    )

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
    recompute: bool
    max_failures: int | str
    """A count, or a percentage such as `5%`."""
    allow_mixed: bool
    prune: bool
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
