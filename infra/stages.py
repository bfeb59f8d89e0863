"""From stages.toml and `-c NAME=VALUE` to settings."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.settings import Delivery, SettingsError, StageSettings

STAGES = Path(__file__).parent / "stages.toml"
DEFAULT_STAGE = "dev"
_CDK_OWN = ("aws:", "aws-cdk:", "@aws-cdk/", "cdk-", "tree-metadata")
"""What the CDK's own command line puts into the context."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is to be synthesized: one stage, or a pipeline of several."""

    stages: tuple[StageSettings, ...]
    delivery: Delivery | None = None


def read_deployment(context: Mapping[str, Any], path: Path = STAGES) -> Deployment:
    """The plan that a context (`stage`, `pipeline`, or any setting) asks for.

    Raises:
        SettingsError: what is asked for cannot be.
    """
    given = {name: value for name, value in context.items() if not name.startswith(_CDK_OWN)}
    path = Path(given.pop("stages", path))
    tables = _read(path)
    stage = str(given.pop("stage", DEFAULT_STAGE))
    wants_pipeline = str(given.pop("pipeline", "false")).lower()
    if wants_pipeline != "true":
        return Deployment(stages=(StageSettings.parse(stage, {**tables.get(stage, {}), **given}),))
    if "pipeline" not in tables:
        raise SettingsError(f"there is no table [pipeline] in {path}: it says what to deliver, and from where")
    delivery = Delivery.parse(tables["pipeline"])
    stages = tuple(StageSettings.parse(name, {**tables.get(name, {}), **given}) for name in delivery.stages)
    for each in stages:
        if not each.account or not each.region:
            raise SettingsError(f"stage {each.stage!r}: a pipeline has to know its account and region; say both")
    return Deployment(stages=stages, delivery=delivery)


def _read(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    stray = [name for name, table in found.items() if not isinstance(table, dict)]
    if stray:
        raise SettingsError(f"{path}: {stray[0]} stands outside of a stage's table, such as [prod]")
    return found
