"""The estimated cost of a run, from list prices and measured speeds that the user can replace.

docs/operations.md has the table that `python -m scripts.cost_table` makes of it.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from submitter.errors import UsageError

_MILLION = 1_000_000
_THOUSAND = 1_000
_GIBIBYTE = 2**30
_KIBIBYTE = 1024
_INDEX_BYTES = 100
"""What DynamoDB adds to each item when it charges for storage."""
_PLACE_BYTES = len("Modified") + 32 + len("@0123456789+01234567") + len("tar+")
"""What the item of an image in a tar file has more than another's: its place in the file, and a longer Source."""
TAR_PART = 4 << 20
"""Bytes of a tar file that a worker requests at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """US dollars and assumptions. `--rates FILE.json` replaces any of them."""

    as_of: str = "2024-11, us-east-1 list prices"
    s3_put_and_list_per_1000: float = 0.005
    s3_get_per_1000: float = 0.0004
    s3_retrieval_per_gb_standard_ia: float = 0.01
    s3_retrieval_per_gb_onezone_ia: float = 0.01
    s3_retrieval_per_gb_glacier_ir: float = 0.03
    dynamodb_write_per_million: float = 0.625
    dynamodb_read_per_million: float = 0.125
    dynamodb_storage_per_gb_month: float = 0.25
    dynamodb_recovery_per_gb_month: float = 0.20
    """Point-in-time recovery, on top of the storage."""
    compute_per_vcpu_hour: float = 0.0504
    """m7i.xlarge, $0.2016 an hour on demand, the first of the stage's default types."""
    spot_share: float = 0.4
    """The price on Spot as a part of that on demand. Assumed: it changes with the hour and the zone, to be checked."""
    images_per_second_per_vcpu: float = 70.0
    """ResNet18 in bfloat16 on AMX, from S3 to DynamoDB, photographs of about 500×375: measured in 2026-11 on a virtual
    machine with two cores of a Xeon, at 14 ms of CPU an image."""
    start_seconds: float = 8.0
    """Of a worker for each shard: 2 for Python and the model, measured, and 6 for its container, assumed."""
    idle_seconds: float = 240.0
    """Of each machine: to boot, to pull the image, and to wait for its last worker and for its end. Assumed."""
    worker_vcpus: float = 2.0
    machine_vcpus: float = 4.0
    fleet_vcpus: float = 40.0
    """The most vCPUs at once: the stage's default, 32 on Spot and 8 on demand."""
    dimension: int = 512
    bytes_per_number: int = 4
    """4 for float32, 2 with `--dtype float16`, 1 with `--dtype uint8`."""
    bytes_per_tar_image: float = 100_000.0
    """With its header, where none of a run's tar files can be looked into. Assumed, to be checked."""
    metadata_bytes: int = 0
    """67 with `--metadata`: five names take 27, and their values 40 for a photograph whose date has an offset."""


def read_rates(path: str | None) -> Rates:
    """Return the default rates, with those in the JSON file at `path` replaced.

    Raises:
        UsageError: the file cannot be read, or it names a rate that does not exist.
    """
    if path is None:
        return Rates()
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"the rates in {path} cannot be read: {error}") from error
    kinds = {field.name: type(getattr(Rates(), field.name)) for field in fields(Rates)}
    if not isinstance(given, dict) or not given.keys() <= kinds.keys():
        raise UsageError(f"the rates in {path} must be a JSON object with some of these names: {', '.join(kinds)}")
    for name, value in given.items():
        fits = isinstance(value, str) if kinds[name] is str else _is_positive(value)
        if not fits:
            raise UsageError(f"the rate {name} in {path} is {value!r}, expected {_expected(kinds[name])}")
    return replace(Rates(as_of=f"the user's rates in {path}"), **given)


def _is_positive(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _expected(kind: type) -> str:
    return "a string" if kind is str else "a number above zero"


def item_bytes(bucket: str, key: str, rates: Rates) -> int:
    """Return the size of one image's DynamoDB item as it is charged, attribute names included."""
    names = len("ImageIdVectorDataTypeDimensionCreatedFingerprintETagSource")
    fixed = len("float32") + 4 + len("2026-01-01T00:00:00+00:00") + len("resnet18/00000000/pre1/float32") + 32
    scale = len("Scale") + 12 if rates.bytes_per_number == 1 else 0
    key_bytes = len(key.encode("utf-8", "surrogatepass"))
    texts = key_bytes + len(f"s3://{bucket}/") + key_bytes
    return names + fixed + scale + rates.metadata_bytes + texts + rates.dimension * rates.bytes_per_number


def write_units(bucket: str, key: str, rates: Rates, *, in_tar: bool = False) -> int:
    """Return the DynamoDB write units of one image's item: one for each started KiB."""
    return math.ceil((item_bytes(bucket, key, rates) + in_tar * _PLACE_BYTES) / _KIBIBYTE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """US dollars by purpose."""

    s3_requests: float
    s3_retrieval: float
    dynamodb_writes: float
    dynamodb_reads: float
    compute: float
    """The work itself."""
    starts: float
    """Of the workers, one for each shard."""
    idle: float
    """Machines that boot, or wait for their last worker."""
    total: float
    rates_as_of: str

    def as_json(self) -> dict[str, Any]:
        return {name: round(value, 4) if isinstance(value, float) else value for name, value in asdict(self).items()}


def estimate(
    *, images: int, gets: int, objects: int, shards: int, units: int, class_bytes: dict[str, int], rates: Rates
) -> Cost:
    """Estimate the cost of embedding `images` for the first time, without Batch's retries and data transfer.

    Args:
        gets: the requests by which the images are read: one each, or fewer for tar files.
        objects: how many are listed.
        units: of DynamoDB, to write all vectors.
        class_bytes: bytes by storage class.
    """
    lists, puts, gets = objects / 1000, 3 * shards, gets + shards
    vcpu_second = rates.compute_per_vcpu_hour / 3600
    parts = {
        "s3_requests": ((lists + puts) * rates.s3_put_and_list_per_1000 + gets * rates.s3_get_per_1000) / _THOUSAND,
        "s3_retrieval": sum(
            size / _GIBIBYTE * getattr(rates, f"s3_retrieval_per_gb_{name.lower()}", 0.0)
            for name, size in class_bytes.items()
        ),
        "dynamodb_writes": units * rates.dynamodb_write_per_million / _MILLION,
        # Each image is looked up once before it is embedded. A missing item costs half a unit, as a small one does.
        "dynamodb_reads": 0.5 * images * rates.dynamodb_read_per_million / _MILLION,
        "compute": images / rates.images_per_second_per_vcpu * vcpu_second,
        "starts": shards * rates.start_seconds * rates.worker_vcpus * vcpu_second,
        "idle": _machines(shards, rates) * rates.machine_vcpus * rates.idle_seconds * vcpu_second,
    }
    return Cost(**parts, total=sum(parts.values()), rates_as_of=rates.as_of)


def _machines(shards: int, rates: Rates) -> int:
    """Return how many machines a run starts, at most."""
    return math.ceil(min(shards * rates.worker_vcpus, rates.fleet_vcpus) / rates.machine_vcpus)


def vcpu_hours(*, images: int, shards: int, rates: Rates) -> float:
    """Return the hours of a vCPU that are paid for: the work, the starts of workers, and machines that wait."""
    work = images / rates.images_per_second_per_vcpu + shards * rates.start_seconds * rates.worker_vcpus
    return (work + _machines(shards, rates) * rates.machine_vcpus * rates.idle_seconds) / 3600


def stored_month(*, images: int, bucket: str, key: str, rates: Rates) -> float:
    """Return what vectors cost each month that they are kept, with point-in-time recovery."""
    gigabytes = images * (item_bytes(bucket, key, rates) + _INDEX_BYTES) / 10**9
    return gigabytes * (rates.dynamodb_storage_per_gb_month + rates.dynamodb_recovery_per_gb_month)
