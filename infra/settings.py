"""The settings of a stage: their names, types, defaults and meaning. settings_checks.py says which fit together."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from infra.settings_checks import SUBNET, problems

KINDS = ("cpu", "gpu")


class SettingsError(ValueError):
    """A setting that cannot be used; the message is a sentence for the user."""


def setting(default: Any, about: str) -> Any:
    """Return a field with the sentence that docs/reference.md has for it."""
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata={"about": about})
    return field(default=default, metadata={"about": about})


def _types(*families: str) -> tuple[str, ...]:
    return tuple(f"{family}.{size}" for size in ("xlarge", "2xlarge") for family in families)


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """One stage: a stack with its own bucket, table, machines and monitoring."""

    stage: str
    account: str = setting("", "The AWS account; empty means that of the credentials that deploy.")
    region: str = setting("", "The region; empty means that of the credentials that deploy.")
    tags: Mapping[str, str] = setting({}, 'Tags for every resource that can be tagged in place, `{team = "search"}`.')

    bucket: str = setting("", "An existing bucket in the stage's region; empty creates one.")
    read_buckets: tuple[str, ...] = setting(
        (), "Other buckets of the region whose images the workers may read, for tables of addresses."
    )
    table: str = setting("", "An existing table in the stage's region; empty creates one.")
    warm_throughput: int = setting(
        12000, "Write units a second that a new table takes from the start; DynamoDB's own 4,000 if smaller."
    )
    vector_index: int = setting(
        0, "The dimension of the vectors, 512 for ResNet18: DynamoDB itself searches a new table; 0: no index."
    )
    key: str = setting("", "The ARN of a KMS key for bucket, table, logs, queues, topic and disks; empty: AWS's own.")
    inventory: str = setting("", "`s3://BUCKET/PREFIX/` of an S3 Inventory that the Lambda may read.")
    manifest_days: int = setting(90, "Days after which runs under `manifests/` expire; 0 keeps them.")
    log_days: int = setting(30, "Days for which logs are kept: one of CloudWatch's own periods.")

    workers: tuple[str, ...] = setting(("cpu",), "The kinds of workers, `cpu` and `gpu`. The Lambda uses the first.")
    cpu_image: str = setting("", "The workers' container image; empty builds it from the Dockerfile.")
    gpu_image: str = setting("", "The same for GPU workers.")
    cpu_instances: tuple[str, ...] = setting(
        _types("m7i", "m7i-flex", "r7i"),
        "Instance types for CPU workers, all x86 or all arm64, with AMX first; Spot lasts longer with several kinds.",
    )
    gpu_instances: tuple[str, ...] = setting(
        ("g4dn.xlarge", "g4dn.2xlarge", "g5.xlarge", "g6.xlarge"), "Instance types for GPU workers, one GPU each."
    )
    spot_vcpus: int = setting(32, "The most vCPUs on Spot, for each kind of worker; 0 uses no Spot.")
    on_demand_vcpus: int = setting(8, "The most vCPUs on demand, used when Spot has none left; 0 uses none.")
    timeout_minutes: int = setting(180, "An attempt that takes longer is ended and not retried.")
    options: Mapping[str, str] = setting({}, 'Options of `embedder run` for the workers, `{dtype = "float16"}`.')
    container_insights: bool = setting(True, "CloudWatch Container Insights for the workers' clusters.")
    session_manager: bool = setting(False, "A shell on the workers' machines through Systems Manager.")

    subnets: tuple[str, ...] = setting(
        ("isolated",), "`isolated`: no internet, endpoints only; `public`: cheaper; or the ids of subnets of `vpc`."
    )
    zones: tuple[str, ...] = setting((), "Availability zones, `us-east-1a,us-east-1b`; empty: the region's first ones.")
    vpc: str = setting("", "The id of an existing VPC; empty creates one. Needs `subnets` with their ids.")
    route_tables: tuple[str, ...] = setting((), "Route tables of those subnets, for gateway endpoints made in `vpc`.")
    endpoints: tuple[str, ...] = setting((), "Endpoints that `vpc` lacks and the stack makes: `s3,dynamodb,ecs,…`.")
    endpoint_zones: int = setting(2, "Zones with interface endpoints, which cost by the hour in each; 1 is cheapest.")

    alarm_emails: tuple[str, ...] = setting((), "Who gets mail about alarms, failed jobs and submissions.")
    stuck_minutes: int = setting(30, "Jobs that wait this long while none runs raise an alarm.")
    failed_percent: int = setting(5, "A larger share of failed images in an hour raises an alarm.")

    schedule: str = setting("", "`rate(1 day)` or `cron(0 3 * * ? *)`: submit `schedule_paths` repeatedly.")
    schedule_paths: tuple[str, ...] = setting((), "The folders for the schedule.")
    notify: str = setting("", "A folder, `images/`: objects uploaded there are embedded automatically.")
    function_url: bool = setting(False, "An HTTPS address for the Lambda, for signed requests from this account.")

    def __post_init__(self) -> None:
        for problem in problems(self):
            raise SettingsError(f"stage {self.stage!r}: {problem}")

    @classmethod
    def parse(cls, stage: str, given: Mapping[str, Any]) -> StageSettings:
        """Read settings from TOML values, or from strings as `-c NAME=VALUE` gives them.

        Raises:
            SettingsError: a name is unknown, or a value does not fit.
        """
        known = {each.name: each for each in fields(cls) if each.name != "stage"}
        chosen = {}
        for name, value in given.items():
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                guess = f"did you mean {close[0]!r}?" if close else f"the settings are {', '.join(known)}"
                raise SettingsError(f"stage {stage!r}: there is no setting {name!r}; {guess}")
            chosen[name] = _value(stage, name, value, known[name])
        return cls(stage=stage, **chosen)

    @property
    def name(self) -> str:
        """The name of the stack, and the beginning of every name in it."""
        return f"embedder-{self.stage}"

    @property
    def public(self) -> bool:
        """Whether the stack's own subnets have a way to the internet."""
        return self.subnets == ("public",)

    @property
    def given_subnets(self) -> tuple[str, ...]:
        """The ids of existing subnets; none where the stack makes its own."""
        return tuple(each for each in self.subnets if SUBNET.fullmatch(each))

    def image(self, kind: str) -> str:
        """Return the container image for a kind of worker; empty means that it is built."""
        return {"cpu": self.cpu_image, "gpu": self.gpu_image}[kind]

    def instances(self, kind: str) -> tuple[str, ...]:
        return {"cpu": self.cpu_instances, "gpu": self.gpu_instances}[kind]


def _value(stage: str, name: str, value: Any, known: Any) -> Any:
    default = known.default_factory() if name in ("options", "tags") else known.default
    try:
        return _typed(value, default, name)
    except (ValueError, TypeError):
        kind = {str: "a string", int: "a whole number", bool: "true or false", tuple: "a list of strings"}
        example = {"options": "dtype=float16,batch_size=32", "tags": "team=search,cost-center=42"}.get(name, "")
        expected = kind.get(type(default), f"a table of strings, such as {example}")
        raise SettingsError(f"stage {stage!r}: {name} is {value!r}, expected {expected}") from None


def _typed(value: Any, default: Any, name: str) -> Any:
    """Return `value` as the type of `default`.

    Raises:
        ValueError, TypeError: it does not fit.
    """
    if isinstance(default, bool):
        return _switch(value)
    if isinstance(default, int):
        if isinstance(value, bool):
            raise ValueError
        return int(value)
    if isinstance(default, tuple):
        parts = [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value
        return tuple(_text(part) for part in parts)
    if isinstance(default, dict):
        pairs = [part.split("=", 1) for part in value.split(",") if part] if isinstance(value, str) else value.items()
        named = {_text(key): str(chosen) for key, chosen in pairs}
        return {key.replace("-", "_"): chosen for key, chosen in named.items()} if name == "options" else named
    return _text(value)


def _switch(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError
    return str(value).lower() == "true"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value
