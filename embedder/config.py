"""What the environment says: options, and who this process is. Only this module reads the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from embedder.errors import ConfigurationError
from embedder.options import OPTIONS, Layer, choice, environment_name, switch


def environment_layer(environment: Mapping[str, str] = os.environ) -> Layer:
    """Return the options that `EMBEDDER_<OPTION>` variables set."""
    values = {name: environment[variable] for name in OPTIONS if (variable := environment_name(name)) in environment}
    return Layer(values=values, called=environment_name)


def switch_from_environment(name: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Return `EMBEDDER_JSON` or `EMBEDDER_QUIET`, false when unset."""
    variable = environment_name(name)
    try:
        return switch(environment.get(variable, ""))
    except ValueError as error:
        raise ConfigurationError(f"{variable}: {environment[variable]!r} is not valid: {error}") from None


def text_from_environment(name: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return `EMBEDDER_SOURCE` or `EMBEDDER_STORE`, None when unset or empty."""
    return environment.get(environment_name(name)) or None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where log lines come from: a run, and a worker's part in it."""

    run: str | None
    """The id of the submitter's run; for any other source, its name."""
    shard: int | None
    """The shard's number in the run."""
    job: str | None
    """AWS Batch's id of the job: `ID:INDEX` in an array."""
    attempt: int | None
    """The number of the attempt, which AWS Batch counts from 1."""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def origin(source: str | None, environment: Mapping[str, str] = os.environ) -> Origin:
    """Return which run, shard and attempt this process works on, as far as is known.

    Args:
        source: SOURCE from the command line; None if the environment may name it.
    """
    source = source or text_from_environment("source", environment)
    found = re.fullmatch(r"s3://[^/]+/(?:.*/)?manifests/([^/]+)/?", source or "", re.DOTALL)
    try:
        shard = shard_index(environment) if found else None
    except ConfigurationError:
        shard = None  # `shard_index` reports this when the run starts
    attempt = environment.get("AWS_BATCH_JOB_ATTEMPT", "")
    return Origin(
        run=found[1] if found else source,
        shard=shard,
        job=environment.get("AWS_BATCH_JOB_ID"),
        attempt=int(attempt) if attempt.isdecimal() else None,
    )


def log_is_json(given: str | None = None, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether log lines are JSON, by `--log`, else `EMBEDDER_LOG`. The default is yes in a job of AWS Batch.

    Args:
        given: the value of `--log`; None if it was not given.

    Raises:
        ConfigurationError: the value is neither `text` nor `json`.
    """
    called, value = ("--log", given) if given is not None else ("EMBEDDER_LOG", environment.get("EMBEDDER_LOG"))
    if value is None:
        return "AWS_BATCH_JOB_ID" in environment
    try:
        return choice("text", "json")(value) == "json"
    except ValueError as error:
        raise ConfigurationError(f"{called}: {value!r} is not valid: {error}") from None


def deployment(environment: Mapping[str, str] = os.environ) -> str:
    """Return the name of this installation in metrics, `EMBEDDER_DEPLOYMENT`."""
    return environment.get("EMBEDDER_DEPLOYMENT") or "default"


def qdrant_api_key(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the key for a server of Qdrant, `QDRANT_API_KEY`."""
    return environment.get("QDRANT_API_KEY") or None


def colours_wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether a terminal may be written to in colours: https://no-color.org."""
    return not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path | None:
    """Return the folder for models prepared for the engines; None if the user has no home folder."""
    if found := environment.get("XDG_CACHE_HOME"):
        return Path(found) / "embedder"
    try:
        return Path.home() / ".cache" / "embedder"
    except RuntimeError:
        return None


def shard_index(environment: Mapping[str, str] = os.environ) -> int:
    """Return the number of this worker's shard: the array index plus the array's offset.

    Raises:
        ConfigurationError: one of the two variables is not a count.
    """
    total = 0
    for variable in ("AWS_BATCH_JOB_ARRAY_INDEX", "EMBEDDER_SHARD_OFFSET"):
        text = environment.get(variable, "0")
        if not text.isdecimal():
            raise ConfigurationError(f"{variable}: {text!r} is not valid: expected a count from 0")
        total += int(text)
    return total
