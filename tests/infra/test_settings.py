"""Settings of a stage: from the file, from the command line, and every mistake as a sentence."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from embedder import options
from infra.delivery import Delivery
from infra.instance_types import instance_type
from infra.settings import SettingsError, StageSettings
from infra.settings_checks import WORKER_OPTIONS
from infra.stages import STAGES, read_deployment
from infra.worker_sizes import SIZES
from tests.infra.synthesis import IMAGE, KEY, ROOT, run_app

REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


def test_a_stage_is_its_table_and_what_the_command_line_changes(tmp_path: Path) -> None:
    path = tmp_path / "stages.toml"
    path.write_text('[prod]\nlog_days = 90\nworkers = ["gpu"]\noptions = { dtype = "float16" }\n')
    given = {"stage": "prod", "log_days": "7", "alarm_emails": "a@b.c, d@e.f", "@aws-cdk/x": True}
    (found,) = read_deployment(given, path).stages
    assert (found.stage, found.name) == ("prod", "embedder-prod")
    assert (found.log_days, found.workers, found.options) == (7, ("gpu",), {"dtype": "float16"})
    assert found.alarm_emails == ("a@b.c", "d@e.f")
    assert found.spot_vcpus == StageSettings(stage="x").spot_vcpus


def test_a_stage_without_a_table_has_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "stages.toml"
    path.write_text("")
    assert read_deployment({"stage": "another"}, path).stages == (StageSettings(stage="another"),)


def test_the_stages_of_the_repository_are_right() -> None:
    (dev,) = read_deployment({}).stages
    assert (dev.stage, dev.workers, dev.subnets) == ("dev", ("cpu",), ("public",))
    assert read_deployment({"stage": "prod"}).stages[0].subnets == ("isolated",)
    assert STAGES.name == "stages.toml"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"spot_vcpu": "3"}, "no setting 'spot_vcpu'; did you mean 'spot_vcpus'?"),
        ({"colour": "3"}, "the settings are account, region"),
        ({"spot_vcpus": "many"}, "spot_vcpus is 'many', expected a whole number"),
        ({"spot_vcpus": True}, "spot_vcpus is True, expected a whole number"),
        ({"function_url": "yes"}, "function_url is 'yes', expected true or false"),
        ({"workers": ["tpu"]}, "expected some of cpu, gpu"),
        ({"workers": [1]}, "expected a list of strings"),
        ({"options": "dtype"}, "expected a table of strings, such as dtype=float16"),
        ({"options": {"Batch Size": "3"}}, "options has 'Batch Size', expected names of options"),
        ({"options": {"dtpye": "float16"}}, "options has 'dtpye', expected names of options"),
        ({"options": {"prune": "true"}}, "options has 'prune', expected names of options"),
        ({"options": "image_id=stem"}, "another shard may hold the same names"),
        ({"region": "Frankfurt"}, "region is 'Frankfurt'"),
        ({"account": "12"}, "expected twelve digits"),
        ({"key": "alias/mine"}, "expected the ARN of a KMS key"),
        ({"log_days": 8}, "CloudWatch keeps logs for one of"),
        ({"tags": "team"}, "expected a table of strings, such as team=search"),
        ({"key": KEY, "region": "eu-central-1"}, "key is in us-east-1 and the stage in eu-central-1"),
        ({"spot_vcpus": 0, "on_demand_vcpus": 0}, "there would be no machine"),
        ({"cpu_image": "docker.io/somebody/embedder"}, "which isolated subnets cannot reach"),
        ({"cpu_image": IMAGE, "region": "us-east-1"}, "copy it to ECR in the stage's region"),
        ({"schedule": "rate(1 day)"}, "belong together"),
        ({"schedule": "daily", "schedule_paths": "a"}, "expected rate(1 day)"),
        ({"notify": "manifests/"}, "each run would start another one"),
        ({"notify": "man"}, "each run would start another one"),
        ({"notify": "images"}, "expected a folder such as images/"),
        ({"alarm_emails": ["nobody"]}, "has 'nobody', which is no address"),
        ({"inventory": "inventories/all"}, "expected an address"),
        ({"read_buckets": "pictures,s3://others"}, "read_buckets has 's3://others'"),
        ({"stuck_minutes": 1}, "expected 5 to 1440"),
        ({"cpu_instances": ""}, "cpu_instances is empty"),
        ({"cpu_instances": "m7g.xlarge,m7i.xlarge"}, "m7g.xlarge (arm64) and m7i.xlarge (x86_64)"),
        ({"cpu_instances": "c7g.large"}, "a worker needs 2 vCPUs and 7,000 MiB, and ECS has 2 and 3,809 to give"),
        ({"cpu_instances": "m7i.medium"}, "is too small"),
        ({"cpu_instances": "g4dn.xlarge"}, "has 1 GPUs, but a cpu worker needs 0"),
        ({"cpu_instances": "x9z.xlarge"}, "infra/instance_types.py does not list"),
        ({"cpu_instances": "m7i"}, "infra/instance_types.py does not list"),
        ({"workers": "gpu", "gpu_instances": "m7i.xlarge"}, "has 0 GPUs, but a gpu worker needs 1"),
        ({"warm_throughput": 4000}, "40 vCPUs may write 12,000 units/s, but the new table takes 4,000"),
        ({"vector_index": 512}, "40 vCPUs may write 28,000 units/s, but the new table takes 12,000"),
        ({"vector_index": 512, "table": "vectors"}, "run `embedder index dynamodb://vectors`"),
        ({"spot_vcpus": 1000, "options": "dtype=float16"}, "set warm_throughput = 201600"),
        ({"spot_vcpus": 64, "workers": "gpu"}, "72 vCPUs may write 21,600 units/s"),
        ({"subnets": "private"}, "expected isolated, public, or ids such as subnet-"),
        ({"subnets": "subnet-0123456a"}, "vpc and the ids of its subnets belong together"),
        ({"vpc": "vpc-0123456a"}, "vpc and the ids of its subnets belong together"),
        ({"endpoints": "s3"}, "are for an existing vpc"),
        ({"vpc": "vpc-0123456a", "subnets": "subnet-0123456a", "endpoints": "sqs"}, "endpoints has 'sqs'"),
        ({"vpc": "vpc-0123456a", "subnets": "subnet-0123456a", "endpoints": "s3"}, "give the subnets' route_tables"),
        ({"vpc": "vpc-0123456", "subnets": "subnet-0123456a"}, "vpc is 'vpc-0123456', expected the id of a VPC"),
        ({"vpc": "vpc-0123456a", "subnets": "subnet-0123456a", "route_tables": "rtb-1"}, "route_tables has 'rtb-1'"),
        ({"zones": "a,b"}, "expected names of availability zones such as us-east-1a"),
        ({"endpoint_zones": 4}, "expected 1 to 3"),
    ],
)
def test_a_mistake_is_a_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        StageSettings.parse("prod", given)


@pytest.mark.parametrize("stage", ["", "Prod", "my_stage", "-x", "x" * 21])
def test_a_stage_is_called_something_that_names_can_begin_with(stage: str) -> None:
    with pytest.raises(SettingsError, match="stage"):
        StageSettings(stage=stage)


def test_an_image_of_anybodys_is_fine_with_a_way_to_the_internet() -> None:
    assert StageSettings(stage="dev", subnets=("public",), cpu_image="docker.io/somebody/embedder").image("cpu")


@pytest.mark.parametrize(
    ("text", "said"),
    [("x = 1", "stands outside"), ("[", "is not TOML"), ("[prod]\nx = 1", "no setting 'x'")],
)
def test_a_wrong_file_is_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "stages.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=said):
        read_deployment({"stage": "prod"}, path)


def test_a_pipeline_knows_where_its_stages_are(tmp_path: Path) -> None:
    path = tmp_path / "stages.toml"
    connection = "arn:aws:codeconnections:eu-central-1:111111111111:connection/1"
    path.write_text(f'[pipeline]\nrepository = "a/b"\nconnection = "{connection}"\nstages = ["prod"]\n')
    with pytest.raises(SettingsError, match="has to know its account and region"):
        read_deployment({"pipeline": "true"}, path)
    path.write_text(path.read_text() + '[prod]\naccount = "111111111111"\nregion = "eu-central-1"\n')
    plan = read_deployment({"pipeline": "true"}, path)
    assert plan.delivery == Delivery(repository="a/b", connection=connection, stages=("prod",))
    assert [each.stage for each in plan.stages] == ["prod"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "connection, repository, stages is missing"),
        ({"repository": "b", "connection": "x", "stages": ["a"]}, "expected OWNER/NAME"),
        ({"repository": "a/b", "connection": "x", "stages": ["a"]}, "expected the ARN of a connection"),
        ({"branches": "x"}, "no setting 'branches'"),
    ],
)
def test_a_wrong_pipeline_is_a_sentence(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Delivery.parse(given)


def test_synth_says_it_on_stderr_and_ends_with_2() -> None:
    done = run_app("-c", "stage=prod", "-c", "log_days=8")
    assert done.returncode == 2
    assert done.stderr.startswith("synth: stage 'prod': log_days is 8")
    assert "Traceback" not in done.stderr


def test_every_setting_is_in_the_reference_as_it_is_here() -> None:
    section = REFERENCE.split("\n## AWS stages\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.+) \|$", section, flags=re.MULTILINE)
    documented = {name: rest for name, *rest in rows}
    for each in fields(StageSettings):
        if each.name != "stage":
            assert documented[each.name] == [_shown(each.default), each.metadata["about"]]


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, tuple):
        return ", ".join(default)
    return str(default) if isinstance(default, str | int) else ""


@pytest.mark.parametrize(
    ("name", "vcpus", "workers"),
    [
        ("m7i.xlarge", 4, 2),
        ("m7i-flex.large", 2, 1),
        ("c7i.2xlarge", 8, 2),
        ("r7i.xlarge", 4, 2),
        ("m7g.8xlarge", 32, 16),
    ],
)
def test_what_fits_on_a_machine(name: str, vcpus: int, workers: int) -> None:
    found, size = instance_type(name), SIZES["cpu"]
    assert found
    assert (found.vcpus, found.workers(size.vcpus, size.memory_mib, size.gpus)) == (vcpus, workers)


def test_the_default_machines_have_amx_and_are_filled_by_workers() -> None:
    for name in StageSettings(stage="x").cpu_instances:
        found, size = instance_type(name), SIZES["cpu"]
        assert found
        assert found.amx
        assert found.workers(size.vcpus, size.memory_mib, size.gpus) * size.vcpus == found.vcpus


def test_the_context_of_the_cdk_is_passed_on() -> None:
    boundary = "@aws-cdk/core:permissionsBoundary"
    found = read_deployment({boundary: '{"name": "b"}', "@aws-cdk/core:bootstrapQualifier": "team"})
    assert found.context == {boundary: {"name": "b"}, "@aws-cdk/core:bootstrapQualifier": "team"}
    with pytest.raises(SettingsError, match=r"permissionsBoundary=.*the value is not JSON"):
        read_deployment({boundary: '{"name": '})
    with pytest.raises(SettingsError, match="permissionBoundary: the CDK knows no such context; did you mean"):
        read_deployment({"@aws-cdk/core:permissionBoundary": '{"name": "b"}'})


def test_an_existing_table_is_warmed_by_its_owner() -> None:
    assert StageSettings(stage="x", table="vectors", spot_vcpus=1000).warm_throughput == 12000


def test_the_workers_options_are_those_of_the_command() -> None:
    elsewhere = {"prune", "failures", "notices", "hidden", "damaged", "allow_private"}
    assert set(WORKER_OPTIONS) == set(options.OPTIONS) - elsewhere
