"""Every option of `embedder run`, in one table, and the only reader of the environment.

Each option is a field of `RunOptions`; the command line, the environment names `EMBEDDER_<OPTION>`, the
Python function's keywords and a run's `run.json` all come from this table.
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
"""Where a run's own table does not say otherwise."""
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
        """Whether this many failures are too many; that every image failed always is."""
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
        _choice("auto", "torch", "mnn", "openvino", "openvino-half"),
        "what runs the model: auto, the default, is the fastest that is installed and agrees with torch to 1e-3; "
        "else torch, mnn, openvino, or openvino-half, which is less exact and faster still on CPUs with AMX",
    )
    batch_size: int | None = _option(
        None, _positive, "images per call of the model (default: by engine and device)", "N"
    )
    cores: int | None = _option(None, _positive, "processors to use (default: all, or the container's quota)", "N")
    workers: int | None = _option(None, _positive, "threads that decode (default: one a core)", "N")
    dtype: str = _option(
        "float32", _choice("float32", "float16"), "the stored numbers (default: float32)", "float32|float16"
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
    failures: Path | None = _option(None, Path, "write one JSON line a failure to this file", "FILE")

    @classmethod
    def resolve(cls, *layers: Mapping[str, Any]) -> RunOptions:
        """Merge layers of options, the first that has a name wins; texts are parsed.

        Raises:
            ConfigurationError: an unknown name, or a text that does not parse.
        """
        chosen: dict[str, Any] = {}
        known = {item.name: item for item in fields(cls)}
        for layer in layers:
            for name, value in layer.items():
                if name not in known:
                    raise ConfigurationError(f"there is no option {name!r}; see embedder run --help")
                if name not in chosen:
                    chosen[name] = parse_value(name, value)
        return cls(**chosen)


OPTIONS = {item.name: item for item in fields(RunOptions)}


class Options(TypedDict, total=False):
    """The same options as keywords of `embed`, as a caller may write them; each means what it means there."""

    model: str
    weights: str | Path
    device: Literal["auto", "cpu", "cuda"]
    engine: str
    batch_size: int
    cores: int
    workers: int
    dtype: Literal["float32", "float16"]
    normalize: bool
    image_id: ImageIdMode
    recompute: bool
    max_failures: int | str
    """A count, or a percentage such as `5%`."""
    max_pixels: int
    allow_mixed: bool
    prune: bool
    suffixes: str | Sequence[str]
    failures: str | Path


def parse_value(name: str, value: Any, *, called: str | None = None) -> Any:
    """Return an option's value from a text, a number, or the value itself.

    Args:
        called: how the user wrote the option, for the error's sentence.
    """
    parse = OPTIONS[name].metadata["parse"]
    if isinstance(value, list | tuple) and name == "suffixes":
        value = ",".join(value)
    if value is None or isinstance(value, FailureLimit):
        return value
    if isinstance(value, bool):
        value = "true" if value else "false"
    try:
        return parse(str(value))
    except ValueError as error:
        shown = called or f"option {name}"
        raise ConfigurationError(f"{shown}: {str(value)!r} is not valid: {error}") from None


def environment_name(option: str) -> str:
    """`batch_size` → `EMBEDDER_BATCH_SIZE`."""
    return f"EMBEDDER_{option.upper()}"


def option_name(option: str) -> str:
    """`batch_size` → `--batch-size`."""
    return f"--{option.replace('_', '-')}"


def options_from_environment(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return the options that `EMBEDDER_<OPTION>` variables set.

    Raises:
        ConfigurationError: a value does not parse.
    """
    return {
        name: parse_value(name, environment[variable], called=variable)
        for name in OPTIONS
        if (variable := environment_name(name)) in environment
    }


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
