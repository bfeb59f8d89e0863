"""The bucket, table, queue and job definition of a submission. Only this module reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from submitter.errors import SetupError

VARIABLES = {
    "bucket": "S3_BUCKET_NAME",
    "table": "DYNAMODB_TABLE_NAME",
    "queue": "BATCH_JOB_QUEUE",
    "definition": "BATCH_JOB_DEFINITION",
}
"""The environment variable behind each name; on the command line the option of the same name takes precedence."""

PLANNING = ("bucket",)
"""The names that a dry run needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """The AWS resources that a submission uses. An empty string means that nobody named one."""

    bucket: str = ""
    """Holds the images and, under `manifests/`, the runs."""
    table: str = ""
    """The DynamoDB table that receives the vectors."""
    queue: str = ""
    definition: str = ""
    """The job definition: a name, `name:revision` or an ARN."""

    @classmethod
    def read(cls, *preferred: Mapping[str, str | None]) -> Self:
        """Take each name from the first of `preferred` that has it, else from the environment."""
        environment = {name: os.environ.get(variable) for name, variable in VARIABLES.items()}
        places = [*preferred, environment]
        return cls(**{name: _first(name, places) for name in VARIABLES})

    def require(self, *names: str) -> None:
        """Check that names are set; without arguments, all of them.

        Raises:
            SetupError: at least one is missing; the sentence lists them all.
        """
        wanted = names or tuple(field.name for field in fields(self))
        missing = [f"{VARIABLES[name]} (--{name})" for name in wanted if not getattr(self, name)]
        if missing:
            raise SetupError(
                f"not set: {', '.join(missing)}. Set the environment variable, or give the option on the command line"
            )


def _first(name: str, places: list[Mapping[str, str | None]]) -> str:
    return next((found for place in places if (found := place.get(name))), "")
