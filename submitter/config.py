"""The names of the bucket, table, queue and job definition. The only reader of the environment."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from submitter.errors import SettingsError

VARIABLES = {
    "bucket": "S3_BUCKET_NAME",
    "table": "DYNAMODB_TABLE_NAME",
    "queue": "BATCH_JOB_QUEUE",
    "definition": "BATCH_JOB_DEFINITION",
}
"""The environment variable behind each setting; the option of the same name in a terminal wins."""

PLANNING = ("bucket",)
"""What a dry run needs of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where things are. An empty text is a setting that nobody gave."""

    bucket: str = ""
    """Holds the images and, below `manifests/`, the runs."""
    table: str = ""
    """The DynamoDB table that the workers fill."""
    queue: str = ""
    definition: str = ""
    """The job definition: its name, `name:revision` or ARN."""

    @classmethod
    def read(cls, *preferred: Mapping[str, str | None]) -> Self:
        """Take each setting from the first of `preferred` that has it, else from the environment."""
        environment = {name: os.environ.get(variable) for name, variable in VARIABLES.items()}
        places = [*preferred, environment]
        return cls(**{name: _first(name, places) for name in VARIABLES})

    def require(self, *names: str) -> None:
        """Raise SettingsError, which names every one of `names` that is missing; no names are all."""
        wanted = names or tuple(field.name for field in fields(self))
        missing = [f"{VARIABLES[name]} (--{name})" for name in wanted if not getattr(self, name)]
        if missing:
            raise SettingsError(
                f"not set: {', '.join(missing)}. Set the environment variable, or give the option in a terminal"
            )


def _first(name: str, places: list[Mapping[str, str | None]]) -> str:
    return next((found for place in places if (found := place.get(name))), "")
