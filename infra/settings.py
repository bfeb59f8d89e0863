"""What a stage can choose, checked before anything is synthesized: every mistake is a sentence."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

RUNS_PREFIX = "manifests/"
"""Where runs are in the bucket: the submitter's and the workers' own part of it."""
KINDS = ("cpu", "gpu")
SUBNETS = ("isolated", "public")


class SettingsError(ValueError):
    """A setting that cannot be, said in a sentence."""


def setting(default: Any, about: str) -> Any:
    """A field with the sentence that docs/reference.md has for it."""
    if isinstance(default, dict):
        return field(default_factory=lambda: dict(default), metadata={"about": about})
    return field(default=default, metadata={"about": about})


WORKER_OPTIONS = (
    *("model", "weights", "device", "engine", "batch_size", "workers", "cores", "dtype", "normalize", "image_id"),
    *("recompute", "max_failures", "max_pixels", "allow_mixed", "suffixes"),
)
"""Of `embedder run`: all but `prune`, which a shard refuses, and `failures`, for which a worker has no disk. A worker
reads only variables that it knows: a name that is none would be passed over unseen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """One stage: a silo with a bucket, a table, machines and watchmen of its own."""

    stage: str
    account: str = setting("", "The AWS account; empty is that of the credentials that deploy.")
    region: str = setting("", "The region; empty is that of the credentials that deploy.")

    bucket: str = setting("", "The name of a bucket that exists; empty makes one.")
    table: str = setting("", "The name of a table that exists; empty makes one.")
    key: str = setting("", "The ARN of a KMS key that bucket and table are encrypted with; empty is AWS's own keys.")
    inventory: str = setting("", "`s3://BUCKET/PREFIX/` of an S3 Inventory that the Lambda may read.")
    manifest_days: int = setting(90, "After so many days runs below `manifests/` expire; 0 keeps them.")
    log_days: int = setting(30, "How long logs are kept: one of CloudWatch's own periods.")

    workers: tuple[str, ...] = setting(KINDS, "Which machines there are, `cpu` and `gpu`. The Lambda uses the first.")
    cpu_image: str = setting("", "The worker's container image; empty builds it from the Dockerfile.")
    gpu_image: str = setting("", "The same for GPUs.")
    cpu_instances: tuple[str, ...] = setting(
        tuple(f"{family}.{size}" for size in ("xlarge", "2xlarge") for family in ("m6i", "m6a", "m7i", "m7a", "m5")),
        "Instance types for CPU workers, all x86 and with 4 GiB for each vCPU; many kinds make Spot last.",
    )
    gpu_instances: tuple[str, ...] = setting(
        ("g4dn.xlarge", "g4dn.2xlarge", "g5.xlarge", "g6.xlarge"), "Instance types for GPU workers, one GPU each."
    )
    spot_vcpus: int = setting(64, "The most vCPUs on Spot, for each kind of worker; 0 is no Spot.")
    on_demand_vcpus: int = setting(16, "The most vCPUs on demand, when Spot is full or not to be had; 0 is none.")
    timeout_minutes: int = setting(180, "An attempt that takes longer is ended, and not tried again.")
    options: Mapping[str, str] = setting({}, 'Options of `embedder run` for the workers, `{dtype = "float16"}`.')
    subnets: str = setting(
        "isolated", "`isolated`: no way to the internet, through endpoints alone; `public`: cheaper, nothing gets in."
    )
    container_insights: bool = setting(True, "CloudWatch Container Insights of the workers' clusters.")

    alarm_emails: tuple[str, ...] = setting((), "Who gets mail about alarms and failed jobs.")
    stuck_minutes: int = setting(30, "So long may jobs wait while none runs before it is an alarm.")
    failed_percent: int = setting(5, "More failed images than that in an hour are an alarm.")

    schedule: str = setting("", "`rate(1 day)` or `cron(0 3 * * ? *)`: submit `schedule_paths` again and again.")
    schedule_paths: tuple[str, ...] = setting((), "The folders for the schedule.")
    notify: str = setting("", "A folder, `images/`: what is uploaded there is embedded by itself.")
    function_url: bool = setting(False, "An HTTPS address for the Lambda, for signed requests of this account.")

    def __post_init__(self) -> None:
        for check in (_names, _numbers, _workers, _triggers):
            for problem in check(self):
                raise SettingsError(f"stage {self.stage!r}: {problem}")

    @classmethod
    def parse(cls, stage: str, given: Mapping[str, Any]) -> StageSettings:
        """Settings from TOML's values, or from texts as `-c NAME=VALUE` has them.

        Raises:
            SettingsError: a name that there is not, or a value that cannot be.
        """
        known = {each.name: each for each in fields(cls) if each.name != "stage"}
        chosen = {}
        for name, value in given.items():
            if name not in known:
                raise SettingsError(f"stage {stage!r}: there is no setting {name!r}, only {', '.join(known)}")
            chosen[name] = _value(stage, name, value, known[name])
        return cls(stage=stage, **chosen)

    @property
    def name(self) -> str:
        """Of the stack, and what everything in it that needs a name of its own begins with."""
        return f"embedder-{self.stage}"

    def image(self, kind: str) -> str:
        """The container image for a kind of worker; empty is the one that is built."""
        return {"cpu": self.cpu_image, "gpu": self.gpu_image}[kind]

    def instances(self, kind: str) -> tuple[str, ...]:
        return {"cpu": self.cpu_instances, "gpu": self.gpu_instances}[kind]


def _value(stage: str, name: str, value: Any, known: Any) -> Any:
    default = known.default_factory() if name == "options" else known.default
    try:
        return _typed(value, default)
    except (ValueError, TypeError):
        kind = {str: "a text", int: "a whole number", bool: "true or false", tuple: "a list of texts"}
        expected = kind.get(type(default), "a table of texts, such as dtype=float16,batch_size=32")
        raise SettingsError(f"stage {stage!r}: {name} is {value!r}, expected {expected}") from None


def _typed(value: Any, default: Any) -> Any:
    """`value` as the type that `default` has. Raises ValueError or TypeError."""
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
        return {_text(name).replace("-", "_"): str(chosen) for name, chosen in pairs}
    return _text(value)


def _switch(value: Any) -> bool:
    if str(value).lower() not in ("true", "false"):
        raise ValueError
    return str(value).lower() == "true"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
_ARN_OF_KEY = r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+"


def _names(given: StageSettings) -> list[str]:
    fits = {
        "stage": (r"[a-z][a-z0-9-]{0,19}", "lower-case letters, digits and -, at most 20 of them"),
        "account": (r"(\d{12})?", "twelve digits"),
        "region": (r"([a-z]{2}(-[a-z]+)+-\d)?", "a region such as eu-central-1"),
        "bucket": (r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?", "the name of a bucket"),
        "table": (r"([A-Za-z0-9_.-]{3,255})?", "the name of a table"),
        "key": (rf"({_ARN_OF_KEY})?", "the ARN of a KMS key, arn:aws:kms:REGION:ACCOUNT:key/ID"),
        "inventory": (r"(s3://[a-z0-9.-]+/.*)?", "an address such as s3://inventories/my-bucket/all/"),
        "subnets": ("|".join(SUBNETS), " or ".join(SUBNETS)),
    }
    return [
        f"{name} is {getattr(given, name)!r}, expected {expected}"
        for name, (pattern, expected) in fits.items()
        if not re.fullmatch(pattern, getattr(given, name))
    ] + [f"{each!r} in alarm_emails is no address" for each in given.alarm_emails if not re.fullmatch(r"\S+@\S+", each)]


def _numbers(given: StageSettings) -> list[str]:
    within = {
        "manifest_days": (0, 36500),
        "spot_vcpus": (0, 100_000),
        "on_demand_vcpus": (0, 100_000),
        "timeout_minutes": (1, 14 * 24 * 60),
        "stuck_minutes": (5, 24 * 60),
        "failed_percent": (0, 100),
    }
    found = [
        f"{name} is {getattr(given, name)}, expected {least} to {most}"
        for name, (least, most) in within.items()
        if not least <= getattr(given, name) <= most
    ]
    if given.log_days not in LOG_DAYS:
        found.append(f"log_days is {given.log_days}, CloudWatch keeps logs for one of {', '.join(map(str, LOG_DAYS))}")
    if not given.spot_vcpus and not given.on_demand_vcpus:
        found.append("spot_vcpus and on_demand_vcpus are both 0: there would be no machine")
    return found


def _workers(given: StageSettings) -> list[str]:
    found = []
    if not given.workers or set(given.workers) - set(KINDS) or len(set(given.workers)) < len(given.workers):
        found.append(f"workers is {list(given.workers)}, expected some of {', '.join(KINDS)}, each once")
    for kind in KINDS:
        if not given.instances(kind):
            found.append(f"{kind}_instances is empty, expected types such as m7i.xlarge")
        private = re.fullmatch(r"(\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?/.+)?", given.image(kind))
        elsewhere = private and given.region and private[2] not in (None, given.region)
        if given.subnets == "isolated" and (not private or elsewhere):
            found.append(
                f"{kind}_image is {given.image(kind)}, which isolated subnets cannot reach: "
                "copy it to ECR in the stage's region, or take subnets = public"
            )
    for name in sorted(set(given.options) - set(WORKER_OPTIONS)):
        found.append(f"options has {name!r}, expected names of options of embedder run: {', '.join(WORKER_OPTIONS)}")
    if given.options.get("image_id") == "stem":
        found.append("options has image_id = stem, which a shard refuses: another one may hold the same names")
    return found


def _triggers(given: StageSettings) -> list[str]:
    found = []
    if given.schedule and not re.fullmatch(r"(rate|cron)\([^()]+\)", given.schedule):
        found.append(f"schedule is {given.schedule!r}, expected rate(1 day) or cron(0 3 * * ? *)")
    if bool(given.schedule) != bool(given.schedule_paths):
        found.append("schedule and schedule_paths belong together: give both or neither")
    if given.notify and (RUNS_PREFIX.startswith(given.notify) or given.notify.startswith(RUNS_PREFIX)):
        found.append(f"notify is {given.notify!r}, where every run writes: that would start a run for each run")
    if given.notify and not given.notify.endswith("/"):
        found.append(f"notify is {given.notify!r}, expected a folder such as {given.notify}/")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """The pipeline that deploys stages by itself, from a repository."""

    repository: str
    """`OWNER/NAME`."""
    connection: str
    """The ARN of the CodeConnections connection to where it is."""
    stages: tuple[str, ...]
    """In this order; each needs `account` and `region`."""
    branch: str = "main"
    approve: tuple[str, ...] = ()
    """Stages before which somebody has to say yes."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repository):
            raise SettingsError(f"pipeline: repository is {self.repository!r}, expected OWNER/NAME")
        if not re.fullmatch(r"arn:aws[a-z-]*:code(connections|star-connections):\S+:connection/\S+", self.connection):
            raise SettingsError(f"pipeline: connection is {self.connection!r}, expected the ARN of a connection")
        if not self.stages or set(self.approve) - set(self.stages):
            raise SettingsError("pipeline: stages names the stages to deploy, and approve some of them")

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> Delivery:
        """From the table `[pipeline]`. Raises SettingsError."""
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
