"""A synthesized stage, deployed into moto's CloudFormation, with its table in DynamoDB Local."""

from __future__ import annotations

import copy
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from scripts.simulation.cloud import Cloud
from tests.infra.synthesis import Assembly


def deploy(assembly: Assembly, cloud: Cloud, variables: Mapping[str, str]) -> tuple[Cloud, dict[str, str]]:
    """Do what `cdk deploy` does: assets into their bucket, and the template to CloudFormation.

    Args:
        variables: more of them for the workers.

    Returns:
        The cloud whose submitter is the deployed one, and the stack's outputs.
    """
    cloud.client("ssm").put_parameter(
        Name="/cdk-bootstrap/hnb659fds/version", Value="30", Type="String", Overwrite=True
    )
    _upload(assembly, cloud)
    service = cloud.client("iam").create_role(RoleName=f"{cloud.name}-batch", AssumeRolePolicyDocument="{}")
    template = _for_moto(assembly.template, service["Role"]["Arn"])
    for definition in _of_type(template, "AWS::Batch::JobDefinition"):
        more = [{"Name": name, "Value": value} for name, value in variables.items()]
        definition["Properties"]["ContainerProperties"]["Environment"] += more
    formation = cloud.client("cloudformation")
    formation.create_stack(StackName=cloud.name, TemplateBody=json.dumps(template), Capabilities=["CAPABILITY_IAM"])
    (stack,) = formation.describe_stacks(StackName=cloud.name)["Stacks"]
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    function = cloud.client("lambda").get_function_configuration(FunctionName=outputs["SubmitterName"])
    deployed = replace(cloud, stack=function["Environment"]["Variables"])
    _make_table(assembly, deployed)
    return deployed, outputs


def _for_moto(template: dict[str, Any], service_role: str) -> dict[str, Any]:
    """The template, with what moto lacks made up for; nothing else is changed."""
    found = copy.deepcopy(template)
    for environment in _of_type(found, "AWS::Batch::ComputeEnvironment"):
        environment["Properties"]["Type"] = environment["Properties"]["Type"].upper()
        environment["Properties"]["ServiceRole"] = service_role  # AWS takes its own when none is named
    batch = {name for name, each in found["Resources"].items() if each["Type"].startswith("AWS::Batch::")}
    changed: dict[str, Any] = _refer(found, batch)
    return changed


def _refer(value: Any, batch: set[str]) -> Any:
    """moto knows a Batch resource's ARN by `Ref` alone."""
    if isinstance(value, list):
        return [_refer(each, batch) for each in value]
    if not isinstance(value, dict):
        return value
    reference = value.get("Fn::GetAtt")
    if reference and reference[0] in batch:
        return {"Ref": reference[0]}
    return {name: _refer(each, batch) for name, each in value.items()}


def _of_type(template: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [each for each in template["Resources"].values() if each["Type"] == kind]


def _upload(assembly: Assembly, cloud: Cloud) -> None:
    """The functions' code, zipped as the CDK zips it."""
    bucket = "cdk-hnb659fds-assets-123456789012-us-east-1"
    cloud.s3.create_bucket(Bucket=bucket)
    for folder in assembly.folder.glob("asset.*"):
        cloud.s3.put_object(Bucket=bucket, Key=f"{folder.name.removeprefix('asset.')}.zip", Body=_zipped(folder))


def _zipped(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return packed.getvalue()


def _make_table(assembly: Assembly, cloud: Cloud) -> None:
    """The stack's table, as the template has it, in the engine that holds the vectors."""
    wanted = assembly.only("AWS::DynamoDB::Table")
    taken = ("KeySchema", "AttributeDefinitions", "BillingMode")
    cloud.dynamodb.create_table(TableName=cloud.table, **{name: wanted[name] for name in taken})
