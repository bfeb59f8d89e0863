"""Every option of `embedder run`, in one table; and the only reader of the environment.

Each option is a field of `RunOptions`. The command line, the variables `EMBEDDER_<OPTION>`, the keywords of the Python
function and a run's `run.json` are layers over this table.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypedDict

from embedder.errors import ConfigurationError

DEFAULT_STORE = "./vectors.db"
"""The store of a source that is not a run; a run has a table of its own."""
DEFAULT_SUFFIXES = ("jpg", "jpeg", "png", "webp", "bmp", "gif", "tif", "tiff", "avif")
DEFAULT_MAX_PIXELS = 178_956_970
"""Pillow's own limit: a 24-bit picture of half a gibibyte."""

ImageIdMode = Literal["key", "uri", "stem"]


@dataclass(frozen=True, slots=True)
class FailureLimit:
    """How many images of a run may be bad: a count, or a percentage of all of them."""

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
        """Say whether so many failures are too many. They always are when every image failed."""
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


def _choice(*names: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f"expected one of: {', '.join(names)}")
        return text

    return parse


def _switch(text: str) -> bool:
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
    """The options of `embedder run`; the names are those of the command line with `_` for `-`."""

    model: str = _option(
        "resnet18", str, "any classification model of torchvision, without its classifier (default: resnet18)", "NAME"
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
        _choice("auto", "cpu", "cuda"),
        "where the model runs (default: auto, which is cuda when present)",
        "auto|cpu|cuda",
    )
    engine: str = _option(
        "auto",
        str,
        "what runs the model: auto, the default, is the fastest that is installed and gives torch's vectors; else one "
        "of {engines}",
        "NAME",
    )
    precision: Literal["auto", "full"] = _option(
        "auto",
        _choice("auto", "full"),
        "auto, the default: half precision where that is faster and every vector keeps a cosine of 0.9999 to float32; "
        "full: float32 throughout, relative error at most 1e-3",
        "auto|full",
    )
    batch_size: int | None = _option(
        None, _positive, "images per call of the model (default: by engine and device)", "N"
    )
    cores: int | None = _option(None, _positive, "processors to use (default: all, or the container's quota)", "N")
    workers: int | None = _option(None, _positive, "threads that decode (default: one a core)", "N")
    dtype: str = _option(
        "float32",
        _choice("float32", "float16", "uint8", "int8"),
        "the stored numbers (default: float32); uint8 takes one byte for each, or int8 where some are negative",
        "float32|float16|uint8|int8",
    )
    normalize: bool = _option(False, _switch, "scale every vector to length 1 (default: no)")
    image_id: ImageIdMode = _option(
        "key",
        _choice("key", "uri", "stem"),
        "what names an image: its S3 key or path in the folder, its URI, or its file name without "
        "suffix (default: key)",
        "key|uri|stem",
    )
    recompute: bool = _option(False, _switch, "embed everything again, whatever is stored")
    max_failures: FailureLimit = _option(
        FailureLimit(100, percent=True),
        FailureLimit.parse,
        "how many bad images are acceptable, a count or a percentage; above it, or when every image is "
        "bad, the exit code is 65 (default: 100%%)",
        "N|P%",
    )
    max_pixels: int = _option(DEFAULT_MAX_PIXELS, _positive, "refuse larger images (default: 178956970)", "N")
    allow_mixed: bool = _option(False, _switch, "write to a store that holds vectors of another model or other weights")
    prune: bool = _option(False, _switch, "then delete the vectors whose image is gone (folders and prefixes only)")
    suffixes: tuple[str, ...] = _option(
        DEFAULT_SUFFIXES,
        _suffixes,
        f"what counts as an image, in any case (default: {','.join(DEFAULT_SUFFIXES)})",
        "A,B,…",
    )
    hidden: bool = _option(
        False, _switch, "take hidden files and folders too, whose name begins with a dot (default: no)"
    )
    damaged: Literal["fail", "embed"] = _option(
        "fail",
        _choice("fail", "embed"),
        "what becomes of an image that has lost a part of its data: fail (the default), or embed, which takes what is "
        "left of it",
        "fail|embed",
    )
    failures: Path | None = _option(None, Path, "write one JSON line for each failure to this file", "FILE")
    notices: Path | None = _option(
        None, Path, "write one JSON line to this file for each file with damage that touches no pixel", "FILE"
    )

    @classmethod
    def resolve(cls, *layers: Layer) -> RunOptions:
        """Merge layers of options. Every value is parsed; the first layer that has an option wins.

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
    """Options from one origin, as they were written there."""

    values: Mapping[str, Any]
    """By the names of `RunOptions`: texts, or Python's own values. None stands for an option that is not given."""
    called: Callable[[str], str] = "option {}".format
    """Turns an option's name into the name that it has in this origin."""

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


def environment_layer(environment: Mapping[str, str] = os.environ) -> Layer:
    """Return the options that `EMBEDDER_<OPTION>` variables set."""
    values = {name: environment[variable] for name in OPTIONS if (variable := environment_name(name)) in environment}
    return Layer(values=values, called=environment_name)


class Options(TypedDict, total=False):
    """The same options as keywords of `embed`, with the types that a caller may use."""

    model: str
    weights: str | Path
    device: Literal["auto", "cpu", "cuda"]
    engine: str
    precision: Literal["auto", "full"]
    batch_size: int
    cores: int
    workers: int
    dtype: Literal["float32", "float16", "uint8", "int8"]
    normalize: bool
    image_id: ImageIdMode
    recompute: bool
    max_failures: int | str
    """A count, or a percentage such as `5%`."""
    max_pixels: int
    allow_mixed: bool
    prune: bool
    suffixes: str | Sequence[str]
    hidden: bool
    damaged: Literal["fail", "embed"]
    failures: str | Path
    notices: str | Path


def environment_name(option: str) -> str:
    """`batch_size` → `EMBEDDER_BATCH_SIZE`."""
    return f"EMBEDDER_{option.upper()}"


def option_name(option: str) -> str:
    """`batch_size` → `--batch-size`."""
    return f"--{option.replace('_', '-')}"


def switch_from_environment(name: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Return `EMBEDDER_JSON` or `EMBEDDER_QUIET`, false when unset."""
    variable = environment_name(name)
    try:
        return _switch(environment.get(variable, ""))
    except ValueError as error:
        raise ConfigurationError(f"{variable}: {environment[variable]!r} is not valid: {error}") from None


def text_from_environment(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return `EMBEDDER_SOURCE` or `EMBEDDER_STORE`, None when unset or empty."""
    return environment.get(environment_name(name)) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Whose log lines these are."""

    run: str | None
    """The run's id; for a source that is no run of the submitter's, the source."""
    shard: int | None
    """Of a run."""
    job: str | None
    """AWS Batch's id, `ID:INDEX` in an array."""
    attempt: int | None
    """AWS Batch's count of them, from 1."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def origin(source: str | None, environment: Mapping[str, str] = os.environ) -> Origin:
    """Say which run, shard and attempt this process works on, as far as is known.

    Args:
        source: SOURCE, where the command line has it.
    """
    source = source or text_from_environment("source", environment)
    found = re.fullmatch(r"s3://[^/]+/(?:.*/)?manifests/([^/]+)/?", source or "", re.DOTALL)
    try:
        shard = shard_index(environment) if found else None
    except ConfigurationError:
        shard = None  # the run will say so
    attempt = environment.get("AWS_BATCH_JOB_ATTEMPT", "")
    return Origin(
        run=found[1] if found else source,
        shard=shard,
        job=environment.get("AWS_BATCH_JOB_ID"),
        attempt=int(attempt) if attempt.isdecimal() else None,
    )


def log_is_json(given: str | None = None, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether log lines are JSON: `--log`, else `EMBEDDER_LOG`, else only in a job of AWS Batch.

    Raises:
        ConfigurationError: neither `text` nor `json`.
    """
    called, value = ("--log", given) if given is not None else ("EMBEDDER_LOG", environment.get("EMBEDDER_LOG"))
    if value is None:
        return "AWS_BATCH_JOB_ID" in environment
    try:
        return _choice("text", "json")(value) == "json"
    except ValueError as error:
        raise ConfigurationError(f"{called}: {value!r} is not valid: {error}") from None


def deployment(environment: Mapping[str, str] = os.environ) -> str:
    """Return which installation a metric is of, `EMBEDDER_DEPLOYMENT`."""
    return environment.get("EMBEDDER_DEPLOYMENT") or "default"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Where models made ready for other engines are kept; None where there is no home to keep them in."""
    if found := environment.get("XDG_CACHE_HOME"):
        return Path(found) / "embedder"
    try:
        return Path.home() / ".cache" / "embedder"
    except RuntimeError:
        return None


def shard_index(environment: Mapping[str, str] = os.environ) -> int:
    """Return which shard of a run is this worker's: the array index plus the array's offset.

    Raises:
        ConfigurationError: one of them is not a count.
    """
    total = 0
    for variable in ("AWS_BATCH_JOB_ARRAY_INDEX", "EMBEDDER_SHARD_OFFSET"):
        text = environment.get(variable, "0")
        if not text.isdecimal():
            raise ConfigurationError(f"{variable}: {text!r} is not valid: expected a count from 0")
        total += int(text)
    return total
