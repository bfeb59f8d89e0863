"""The settings of the pipeline that deploys stages: the table `[pipeline]` of stages.toml."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from infra.settings import SettingsError


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A pipeline that deploys stages from a repository."""

    repository: str
    """`OWNER/NAME`."""
    connection: str
    """The ARN of the CodeConnections connection to the repository's host."""
    stages: tuple[str, ...]
    """In the order of deployment; each needs `account` and `region`."""
    branch: str = "main"
    approve: tuple[str, ...] = ()
    """Stages that wait for somebody's approval."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repository):
            raise SettingsError(f"pipeline: repository is {self.repository!r}, expected OWNER/NAME")
        if not re.fullmatch(r"arn:aws[a-z-]*:code(connections|star-connections):\S+:connection/\S+", self.connection):
            raise SettingsError(f"pipeline: connection is {self.connection!r}, expected the ARN of a connection")
        if not self.stages or set(self.approve) - set(self.stages):
            raise SettingsError("pipeline: stages lists the stages to deploy, and approve may name only those")

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Delivery:
        """Read the table `[pipeline]`.

        Raises:
            SettingsError: a name is missing or unknown, or a value does not fit.
        """
        known = {each.name for each in fields(cls)}
        if set(given) - known:
            raise SettingsError(f"pipeline: there is no setting {min(set(given) - known)!r}, only {', '.join(known)}")
        missing = {"repository", "connection", "stages"} - set(given)
        if missing:
            raise SettingsError(f"pipeline: {', '.join(sorted(missing))} is missing in [pipeline] of stages.toml")
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in given.items()
        }
        return cls(**values)
