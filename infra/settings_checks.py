"""What is wrong with a stage's settings, found before anything is synthesized. Every problem is a sentence."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from infra.instance_types import instance_type
from infra.worker_sizes import SIZES

Chosen = Any
"""A `StageSettings`, whose module imports this one."""

RUNS_PREFIX = "manifests/"
"""The folder of runs in the bucket, which belongs to the submitter and the workers."""
_ID = "([0-9a-f]{8}|[0-9a-f]{17})"
SUBNET = re.compile(f"subnet-{_ID}")
NEW_TABLE_WRITES = 4000
"""Write units a second that a new on-demand table takes."""
WRITES_PER_IMAGE = {"float32": 3, "float16": 2, "uint8": 1, "int8": 1}
"""By dtype, for vectors of 512 numbers."""
INDEX_BYTES_PER_NUMBER = 6.6
"""What a vector index adds to an item, as the list of numbers that DynamoDB reads."""
IMAGES_PER_VCPU = {True: 100, False: 30}
"""Images a second with and without AMX; docs/operations.md says what is measured and what assumed."""
IMAGES_PER_VCPU_BESIDE_GPU = 100
"""The same of a machine with a GPU, whose vCPUs only fetch, decode and write. Assumed."""
ENDPOINTS = ("s3", "dynamodb", "ecs", "ecs-agent", "ecs-telemetry", "ecr.api", "ecr.dkr", "logs")
"""What workers and ECS's agent talk to; the first two are gateways."""
SESSION_ENDPOINTS = ("ssm", "ssmmessages", "ec2messages")
"""What Session Manager needs on a machine without internet."""

WORKER_OPTIONS = (
    *("model", "weights", "device", "engine", "precision", "batch_size", "workers", "cores", "dtype", "normalize"),
    *("image_id", "metadata", "recompute", "max_failures", "max_pixels", "allow_mixed", "suffixes", "index"),
)
"""The options of `embedder run` except `prune`, which a shard refuses, and `failures`, for which a worker has no disk.
A worker ignores a variable that it does not know, so an unknown name is refused here."""

LOG_DAYS = (1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653)
_ARN_OF_KEY = r"arn:aws[a-z-]*:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+"


def problems(given: Chosen) -> Iterator[str]:
    """Yield what is wrong, the simplest first."""
    for check in (_names, _numbers, _workers, _images, _machines, _network, _throughput, _triggers):
        yield from check(given)


def _names(given: Chosen) -> Iterator[str]:
    fits = {
        "stage": (r"[a-z][a-z0-9-]{0,19}", "lower-case letters, digits and -, at most 20 of them"),
        "account": (r"(\d{12})?", "twelve digits"),
        "region": (r"([a-z]{2}(-[a-z]+)+-\d)?", "a region such as eu-central-1"),
        "bucket": (r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?", "the name of a bucket"),
        "table": (r"([A-Za-z0-9_.-]{3,255})?", "the name of a table"),
        "key": (rf"({_ARN_OF_KEY})?", "the ARN of a KMS key, arn:aws:kms:REGION:ACCOUNT:key/ID"),
        "inventory": (r"(s3://[a-z0-9.-]+/.*)?", "an address such as s3://inventories/my-bucket/all/"),
        "vpc": (f"(vpc-{_ID})?", "the id of a VPC, such as vpc-0123456789abcdef0"),
    }
    for name, (pattern, expected) in fits.items():
        if not re.fullmatch(pattern, getattr(given, name)):
            yield f"{name} is {getattr(given, name)!r}, expected {expected}"
    for each in given.read_buckets:
        if not re.fullmatch(fits["bucket"][0], each):
            yield f"read_buckets has {each!r}, expected the names of buckets"
    for each in given.alarm_emails:
        if not re.fullmatch(r"\S+@\S+", each):
            yield f"alarm_emails has {each!r}, which is no address"
    if given.key and given.region and given.key.split(":")[3] != given.region:
        yield f"key is in {given.key.split(':')[3]} and the stage in {given.region}: a KMS key serves its own region"


def _numbers(given: Chosen) -> Iterator[str]:
    within = {
        "manifest_days": (0, 36500),
        "spot_vcpus": (0, 100_000),
        "on_demand_vcpus": (0, 100_000),
        "timeout_minutes": (1, 14 * 24 * 60),
        "stuck_minutes": (5, 24 * 60),
        "failed_percent": (0, 100),
        "warm_throughput": (0, 1_000_000),
        "vector_index": (0, 4096),
        "endpoint_zones": (1, 3),
    }
    for name, (least, most) in within.items():
        if not least <= getattr(given, name) <= most:
            yield f"{name} is {getattr(given, name)}, expected {least} to {most}"
    if given.log_days not in LOG_DAYS:
        yield f"log_days is {given.log_days}, but CloudWatch keeps logs for one of {', '.join(map(str, LOG_DAYS))}"
    if not given.spot_vcpus and not given.on_demand_vcpus:
        yield "spot_vcpus and on_demand_vcpus are both 0: there would be no machine"


def _workers(given: Chosen) -> Iterator[str]:
    kinds = set(SIZES)
    if not given.workers or set(given.workers) - kinds or len(set(given.workers)) < len(given.workers):
        yield f"workers is {list(given.workers)}, expected some of {', '.join(SIZES)}, each once"
    for name in sorted(set(given.options) - set(WORKER_OPTIONS)):
        yield f"options has {name!r}, expected names of options of embedder run: {', '.join(WORKER_OPTIONS)}"
    if given.options.get("image_id") == "stem":
        yield "options has image_id = stem, which a shard refuses: another shard may hold the same names"


def _images(given: Chosen) -> Iterator[str]:
    for kind in given.workers:
        private = re.fullmatch(r"(\d{12}\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?/.+)?", given.image(kind))
        elsewhere = private and given.region and private[2] not in (None, given.region)
        if given.subnets == ("isolated",) and (not private or elsewhere):
            yield (
                f"{kind}_image is {given.image(kind)}, which isolated subnets cannot reach: "
                "copy it to ECR in the stage's region, or set subnets = public"
            )


def _machines(given: Chosen) -> Iterator[str]:
    for kind in given.workers:
        size, name = SIZES[kind], f"{kind}_instances"
        if not given.instances(kind):
            yield f"{name} is empty, expected types such as m7i.xlarge"
        known = {each: instance_type(each) for each in given.instances(kind)}
        for each, found in known.items():
            if found is None:
                yield f"{name} has {each!r}, which infra/instance_types.py does not list: check it, or add its family"
            elif bool(found.gpus) != bool(size.gpus):
                yield f"{name} has {each!r}, which has {found.gpus} GPUs, but a {kind} worker needs {size.gpus}"
            elif not found.workers(size.vcpus, size.memory_mib, size.gpus):
                yield (
                    f"{name} has {each!r}, which is too small: a worker needs {size.vcpus} vCPUs and "
                    f"{size.memory_mib:,} MiB, and ECS has {found.vcpus} and {found.memory_mib:,} to give"
                )
        architectures = {found.architecture: each for each, found in known.items() if found}
        if len(architectures) > 1:
            mixed = " and ".join(f"{each} ({architecture})" for architecture, each in architectures.items())
            yield f"{name} mixes architectures, {mixed}: an image is built for one, so name types of one"


def _network(given: Chosen) -> Iterator[str]:
    ids = [each for each in given.subnets if SUBNET.fullmatch(each)]
    if given.subnets not in (("isolated",), ("public",)) and (len(ids) < len(given.subnets) or not ids):
        yield f"subnets is {list(given.subnets)}, expected isolated, public, or ids such as subnet-0123456789abcdef0"
    if bool(given.vpc) != bool(ids):
        yield "vpc and the ids of its subnets belong together: give both or neither"
    if (given.endpoints or given.route_tables) and not given.vpc:
        yield "endpoints and route_tables are for an existing vpc: a VPC of the stack's own has all endpoints"
    for each in sorted(set(given.endpoints) - {*ENDPOINTS, *SESSION_ENDPOINTS}):
        yield f"endpoints has {each!r}, expected some of {', '.join((*ENDPOINTS, *SESSION_ENDPOINTS))}"
    if {"s3", "dynamodb"} & set(given.endpoints) and not given.route_tables:
        yield "endpoints has s3 or dynamodb, which are gateways: give the subnets' route_tables"
    for each in given.route_tables:
        if not re.fullmatch(f"rtb-{_ID}", each):
            yield f"route_tables has {each!r}, expected ids such as rtb-0123456789abcdef0"
    for each in given.zones:
        if not re.fullmatch(r"[a-z]{2}(-[a-z]+)+-\d[a-z]", each):
            yield f"zones has {each!r}, expected names of availability zones such as us-east-1a"
    if given.zones and given.vpc:
        yield "zones are those of the given subnets: leave zones out"


def _throughput(given: Chosen) -> Iterator[str]:
    """Refuse machines that would throttle a new table in their first run."""
    if given.table:
        if given.vector_index:
            yield (
                f"vector_index is for a new table, and {given.table} exists: run `embedder index "
                f'dynamodb://{given.table}`, and set options = {{index = "true"}}'
            )
        return
    vcpus = given.spot_vcpus + given.on_demand_vcpus
    amx = any(found.amx for each in given.cpu_instances if (found := instance_type(each)))
    speeds = {"cpu": IMAGES_PER_VCPU[amx], "gpu": IMAGES_PER_VCPU_BESIDE_GPU}
    units = WRITES_PER_IMAGE.get(given.options.get("dtype", "float32"), 3)
    units += math.ceil(given.vector_index * INDEX_BYTES_PER_NUMBER / 1024)
    wanted = vcpus * units * max(speeds.get(kind, 0) for kind in given.workers)  # one kind works at a time
    if wanted > max(NEW_TABLE_WRITES, given.warm_throughput):
        yield (
            f"{vcpus} vCPUs may write {wanted:,} units/s, but the new table takes "
            f"{max(NEW_TABLE_WRITES, given.warm_throughput):,}: set warm_throughput = {wanted}, or fewer vCPUs"
        )


def _triggers(given: Chosen) -> Iterator[str]:
    if given.schedule and not re.fullmatch(r"(rate|cron)\([^()]+\)", given.schedule):
        yield f"schedule is {given.schedule!r}, expected rate(1 day) or cron(0 3 * * ? *)"
    if bool(given.schedule) != bool(given.schedule_paths):
        yield "schedule and schedule_paths belong together: give both or neither"
    if given.notify and (RUNS_PREFIX.startswith(given.notify) or given.notify.startswith(RUNS_PREFIX)):
        yield f"notify is {given.notify!r}, which contains the runs: each run would start another one"
    if given.notify and not given.notify.endswith("/"):
        yield f"notify is {given.notify!r}, expected a folder such as {given.notify}/"
