"""`python -m scripts.cost_table`: what a million images cost on a stage's default machines.

docs/operations.md has this table; a test compares them.
"""

from __future__ import annotations

from dataclasses import replace

from submitter.cost import Cost, Rates, estimate, stored_month, write_units

IMAGES = 1_000_000
BUCKET, KEY = "my-bucket", "images/2026/photo-000000001.jpg"
BYTES = {"uint8": 1, "float16": 2, "float32": 4}
"""Bytes of a number, by `--dtype`."""
SHARD_SIZES = (1_000, 5_000, 10_000)
SHARD_SIZE = 5_000
"""What the documents advise for large runs."""
ON_SPOT = 0.8
"""The part of the stage's default vCPUs that is on Spot: 32 of 40."""


def machines() -> dict[str, Rates]:
    """Return the rates on demand, on Spot, and of the stage's own mixture."""
    plain = Rates()

    def at(share: float) -> Rates:
        return replace(plain, compute_per_vcpu_hour=share * plain.compute_per_vcpu_hour)

    mixture = ON_SPOT * plain.spot_share + (1 - ON_SPOT)
    return {"on demand": plain, "the stage's 32 + 8 vCPUs": at(mixture), "Spot": at(plain.spot_share)}


def million(rates: Rates, *, shard_size: int = SHARD_SIZE) -> Cost:
    """Estimate what a million new images cost."""
    units = IMAGES * write_units(BUCKET, KEY, rates)
    shards = -(-IMAGES // shard_size)
    return estimate(images=IMAGES, gets=IMAGES, objects=IMAGES, shards=shards, units=units, class_bytes={}, rates=rates)


def cost_table() -> str:
    """Return the table of a million images, as Markdown."""
    columns = machines()
    small = {name: million(replace(rates, bytes_per_number=1)) for name, rates in columns.items()}
    labels = {
        "compute": f"the work, {Rates().images_per_second_per_vcpu:.0f} images/s a vCPU",
        "starts": f"starts of {-(-IMAGES // SHARD_SIZE)} workers, {Rates().start_seconds:.0f} s each",
        "idle": f"machines that boot or wait, {Rates().idle_seconds:.0f} s each",
        "s3_requests": "S3: GET, and some LIST and PUT",
        "dynamodb_reads": "DynamoDB: looking ids up",
        "dynamodb_writes": "DynamoDB: writing, uint8, 1 unit each",
    }
    rows = {label: [getattr(each, name) for each in small.values()] for name, label in labels.items()}
    for dtype, size in BYTES.items():
        found = (million(replace(rates, bytes_per_number=size)) for rates in columns.values())
        rows[f"**in all, {dtype}**"] = [each.total for each in found]
    for size in SHARD_SIZES:
        found = (million(replace(rates, bytes_per_number=1), shard_size=size) for rates in columns.values())
        rows[f"uint8, in shards of {size:,}"] = [each.total for each in found]
    for dtype in ("uint8", "float32"):
        rates = replace(Rates(), bytes_per_number=BYTES[dtype])
        kept = stored_month(images=IMAGES, bucket=BUCKET, key=KEY, rates=rates)
        rows[f"each month that they are kept, {dtype}"] = [kept] * len(columns)
    head = [f"| m7i.xlarge | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    return "\n".join([*head, *(f"| {label} | {' | '.join(map(_dollars, row))} |" for label, row in rows.items())])


def _dollars(value: float) -> str:
    return f"${value:.2f}" if value >= 0.095 else f"${value:.3f}"


if __name__ == "__main__":
    print(cost_table())
