from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.instance_types import instance_type
from infra.settings import StageSettings
from infra.settings_checks import IMAGES_PER_VCPU
from infra.worker_sizes import SIZES
from scripts.cost_table import ON_SPOT, cost_table, machines, million
from submitter.clients import Services
from submitter.cost import Rates, estimate, read_rates, write_units
from submitter.dry_run import dry_run
from submitter.errors import UsageError
from submitter.manifest import Entry
from submitter.new_run import NewRun
from submitter.selection import ListingTally, S3Object, select

ROOT = Path(__file__).parents[2]


def test_write_units_of_the_usual_item() -> None:
    assert write_units("bucket", "images/cats/0001.jpg", Rates(bytes_per_number=1)) == 1
    assert write_units("bucket", "images/cats/0001.jpg", Rates()) == 3
    assert write_units("bucket", "images/cats/0001.jpg", Rates(bytes_per_number=2)) == 2


@given(st.text(max_size=300))
def test_write_units_against_dynamodbs_own_rule(key: str) -> None:
    """Names and values in UTF-8, binary as it is, a number one byte for two digits and one more."""
    texts = {
        "ImageId": key,
        "DataType": "float32",
        "Created": "2026-11-01T00:00:00+00:00",
        "Fingerprint": "resnet18/f37072fd/pre1/float32",
        "ETag": "d41d8cd98f00b204e9800998ecf8427e",
        "Source": f"s3://bucket/{key}",
    }
    size = sum(len(name) + len(text.encode("utf-8", "surrogatepass")) for name, text in texts.items())
    size += len("Vector") + 4 * 512 + len("Dimension") + 3
    assert write_units("bucket", key, Rates()) - -(-size // 1024) in (0, 1)


def test_an_estimate_by_hand() -> None:
    cost = estimate(
        images=1_000_000,
        gets=1_000_000,
        objects=1_000_000,
        shards=1000,
        units=3_000_000,
        class_bytes={"STANDARD": 2**40, "STANDARD_IA": 2**30, "GLACIER_IR": 2**31},
        rates=Rates(),
    )
    assert cost.dynamodb_writes == pytest.approx(3 * 0.625)
    assert cost.dynamodb_reads == pytest.approx(0.0625)
    assert cost.s3_requests == pytest.approx(4 * 0.005 + 1001 * 0.0004)
    assert cost.s3_retrieval == pytest.approx(0.01 + 0.06)
    assert cost.compute == pytest.approx(1_000_000 / 100 / 3600 * 0.0504)
    assert cost.starts == pytest.approx(1000 * 8 * 2 / 3600 * 0.0504)
    assert cost.idle == pytest.approx(10 * 4 * 240 / 3600 * 0.0504), "ten machines of four vCPUs are the most"
    assert cost.total == pytest.approx(
        sum(value for name, value in cost.as_json().items() if isinstance(value, float)) / 2, rel=1e-3
    )
    assert "us-east-1" in cost.rates_as_of


def test_a_small_run_starts_one_machine() -> None:
    small = estimate(images=10, gets=10, objects=10, shards=1, units=10, class_bytes={}, rates=Rates())
    assert small.idle == pytest.approx(4 * 240 / 3600 * 0.0504)


def test_the_documented_table_is_what_the_code_calculates() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    assert cost_table() in text, "replace it by what `python -m scripts.cost_table` prints"
    assert million(replace(machines()["Spot"], bytes_per_number=1)).total < 1.30


def test_the_rates_are_those_of_the_stage_that_is_deployed_by_default() -> None:
    """`submitter` and `infra` import nothing of each other, so this test holds what both of them say."""
    stage, rates = StageSettings(stage="any"), Rates()
    first = instance_type(stage.cpu_instances[0])
    assert first is not None
    assert (first.name, first.vcpus) == ("m7i.xlarge", rates.machine_vcpus)
    assert SIZES["cpu"].vcpus == rates.worker_vcpus
    assert stage.spot_vcpus + stage.on_demand_vcpus == rates.fleet_vcpus
    assert stage.spot_vcpus / rates.fleet_vcpus == ON_SPOT
    assert IMAGES_PER_VCPU[first.amx] == rates.images_per_second_per_vcpu


def test_rates_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "rates.json"
    file.write_text(json.dumps({"compute_per_vcpu_hour": 0.01, "dimension": 2048}))
    rates = read_rates(str(file))
    assert (rates.compute_per_vcpu_hour, rates.dimension) == (0.01, 2048)
    assert rates.s3_put_and_list_per_1000 == Rates().s3_put_and_list_per_1000
    assert rates.as_of == f"the user's rates in {file}"
    assert read_rates(None) == Rates()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "cannot be read"),
        ("[]", "some of these names: as_of"),
        ('{"gold": 1}', "must be a JSON object"),
        ('{"dimension": "512"}', "dimension in .* is '512', expected a number above zero"),
        ('{"dimension": 0}', "expected a number above zero"),
        ('{"as_of": 2026}', "expected a string"),
    ],
)
def test_rates_that_are_none(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "rates.json"
    file.write_text(text)
    with pytest.raises(UsageError, match=complaint):
        read_rates(str(file))
    with pytest.raises(UsageError, match="cannot be read"):
        read_rates(str(tmp_path / "missing.json"))


def order_of(*found: S3Object, shard_size: int = 1000) -> NewRun:
    tally = ListingTally()
    entries = select(found, ("jpg",), tally)
    return NewRun(run_id="r", source="paths", entries=entries, tally=tally, shard_size=shard_size)


def test_a_plan_counts_what_a_run_would_hold() -> None:
    found = [S3Object(key=f"{number}.jpg", etag="e", size=2**30) for number in range(25)]
    planned = dry_run(
        order_of(*found, S3Object(key="x.txt", etag="e", size=1), shard_size=10), "bucket", Rates(), Services()
    )
    assert (planned.images, planned.bytes) == (25, 25 * 2**30)
    assert (planned.shards, planned.jobs) == (4, 1), "eight of a gibibyte each reach the cap before ten do"
    assert planned.write_units == 75
    assert planned.skipped == {"suffix": 1}
    assert json.loads(json.dumps(planned.as_json())) == planned.as_json()


def test_a_plan_of_more_than_one_array() -> None:
    entries = (Entry(key=str(number), etag=None, size=1) for number in range(10_001))
    planned = dry_run(NewRun(run_id="r", source="paths", entries=entries, shard_size=1), "b", Rates(), Services())
    assert (planned.shards, planned.jobs) == (10_001, 2)


def test_a_plan_of_nothing() -> None:
    with pytest.raises(UsageError, match="no image was found"):
        dry_run(order_of(S3Object(key="x.txt", etag="e", size=1)), "bucket", Rates(), Services())
