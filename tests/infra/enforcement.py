"""The policies of a deployed stage, enforced on each request in the simulated cloud."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from scripts.simulation.cloud import Cloud
from scripts.simulation.gateway import Call
from submitter.config import VARIABLES

_PEOPLE = ("simulation", "terminal")
"""Callers that are people with rights of their own."""
_ACTIONS = {"ListObjectsV2": "ListBucket", "HeadBucket": "ListBucket", "HeadObject": "GetObject"}
"""The action behind an operation of another name."""


@dataclass(slots=True, kw_only=True)
class Enforcement:
    """Decides by the policies that CloudFormation attached to the roles of the submitter and of the workers."""

    cloud: Cloud
    statements: dict[str, list[dict[str, Any]]]
    """Of the roles `submitter` and `worker`."""
    without: tuple[str, int] | None = None
    """A statement that is left out: its role and its number."""
    denied: list[Call] = field(default_factory=list)

    @classmethod
    def of(cls, cloud: Cloud, outputs: dict[str, str]) -> Enforcement:
        """Read the roles' policies back from IAM."""
        function = cloud.client("lambda").get_function_configuration(FunctionName=outputs["SubmitterName"])
        definitions = cloud.batch.describe_job_definitions(jobDefinitions=[outputs["CpuDefinition"]])
        worker = definitions["jobDefinitions"][0]["containerProperties"]["jobRoleArn"]
        roles = {"submitter": function["Role"], "worker": worker}
        return cls(cloud=cloud, statements={who: _statements(cloud, arn) for who, arn in roles.items()})

    def allows(self, call: Call) -> bool:
        if call.caller in _PEOPLE or call.service not in ("s3", "dynamodb", "batch"):
            return True
        who = "submitter" if call.caller.startswith("lambda") else "worker"
        kept = [each for number, each in enumerate(self.statements[who]) if (who, number) != self.without]
        action = f"{call.service}:{_ACTIONS.get(call.operation, call.operation)}"
        allowed = all(any(_covers(each, action, resource) for each in kept) for resource in self._resources(call))
        if not allowed:
            self.denied.append(call)
        return allowed

    def _resources(self, call: Call) -> list[str]:
        settings = self.cloud.settings
        if call.service == "s3":
            bucket = f"arn:aws:s3:::{self.cloud.bucket}"
            return [f"{bucket}/{call.key}" if call.key else bucket]
        if call.service == "dynamodb":
            return [f"arn:aws:dynamodb:us-east-1:123456789012:table/{self.cloud.table}"]
        if call.operation == "SubmitJob":
            return [settings[VARIABLES["queue"]], settings[VARIABLES["definition"]]]
        return ["*"]


def _statements(cloud: Cloud, role_arn: str) -> list[dict[str, Any]]:
    iam, role = cloud.client("iam"), role_arn.rpartition("/")[2]
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    documents = [iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]
    return [statement for document in documents for statement in document["Statement"]]


def _covers(statement: dict[str, Any], action: str, resource: str) -> bool:
    assert statement["Effect"] == "Allow"
    return any(fnmatchcase(action, each) for each in _listed(statement["Action"])) and any(
        fnmatchcase(resource, each) for each in _listed(statement["Resource"])
    )


def _listed(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
