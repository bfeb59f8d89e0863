"""Read what to synthesize from stages.toml and `-c NAME=VALUE`."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from infra.delivery import Delivery
from infra.settings import SettingsError, StageSettings

STAGES = Path(__file__).parent / "stages.toml"
DEFAULT_STAGE = "dev"
_CDK_OWN = ("aws:", "aws-cdk:", "@aws-cdk/", "cdk-", "tree-metadata", "availability-zones:")
"""Names of the CDK's own context, such as `@aws-cdk/core:permissionsBoundary`. They are passed on to it."""
_MISSED = ("@aws-cdk/core:permissionsBoundary", "@aws-cdk/core:bootstrapQualifier")
"""Those whose misspelling has to be noticed: the CDK ignores a name that it does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is to be synthesized: one stage, or a pipeline of several."""

    stages: tuple[StageSettings, ...]
    delivery: Delivery | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    """For the CDK itself."""


def read_deployment(context: Mapping[str, Any], path: Path = STAGES) -> Deployment:
    """Return the deployment that a context (`stage`, `pipeline`, or any setting) describes.

    Raises:
        SettingsError: a value does not fit.
    """
    own = {name: _parsed(name, value) for name, value in context.items() if name.startswith(_CDK_OWN)}
    for name in own:
        close = difflib.get_close_matches(name, _MISSED, n=1, cutoff=0.9)
        if close and name not in _MISSED:
            raise SettingsError(f"-c {name}: the CDK knows no such context; did you mean {close[0]!r}?")
    given = {name: value for name, value in context.items() if name not in own}
    path = Path(given.pop("stages", path))
    tables = _read(path)
    stage = str(given.pop("stage", DEFAULT_STAGE))
    wants_pipeline = str(given.pop("pipeline", "false")).lower()
    if wants_pipeline != "true":
        settings = StageSettings.parse(stage, {**tables.get(stage, {}), **given})
        return Deployment(stages=(settings,), context=own)
    if "pipeline" not in tables:
        raise SettingsError(f"there is no table [pipeline] in {path}: it says which stages to deliver, from where")
    delivery = Delivery.parse(tables["pipeline"])
    stages = tuple(StageSettings.parse(name, {**tables.get(name, {}), **given}) for name in delivery.stages)
    for each in stages:
        if not each.account or not each.region:
            raise SettingsError(f"stage {each.stage!r}: a pipeline has to know its account and region; give both")
    return Deployment(stages=stages, delivery=delivery, context=own)


def _parsed(name: str, value: Any) -> Any:
    """Return a value of the CDK's context; on a command line an object is written as JSON."""
    if not isinstance(value, str) or (value[:1] not in "{[" and value not in ("true", "false")):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise SettingsError(f"-c {name}={value}: the value is not JSON: {error}") from None


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    stray = [name for name, table in found.items() if not isinstance(table, dict)]
    if stray:
        raise SettingsError(f"{path}: {stray[0]} stands outside a stage's table, such as [prod]")
    return found
