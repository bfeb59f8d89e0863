"""The policies of a deployed stage, enforced on each request in the simulated cloud."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from scripts.simulation.cloud import Cloud
from scripts.simulation.gateway import Call
from submitter.config import VARIABLES

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PEOPLE = ("simulation", "terminal")
"""Callers that are people with rights of their own."""
_ACTIONS = {"ListObjectsV2": "ListBucket", "HeadBucket": "ListBucket", "HeadObject": "GetObject"}
"""The action behind an operation of another name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """A request that was not served."""

    call: Call
    lacking: frozenset[str]
    """The actions that no statement allows."""


@dataclass(slots=True, kw_only=True)
class Enforcement:
    """Decides by the policies that CloudFormation attached to the roles of the submitter and of the workers."""

    cloud: Cloud
    s3: S3Client
    """Tells which objects exist."""
    statements: dict[str, list[dict[str, Any]]]
    """Of the roles `submitter` and `worker`."""
    without: tuple[str, int] | None = None
    """A statement that is left out: its role and its number."""
    denied: list[Denial] = field(default_factory=list)

    @classmethod
    def of(cls, cloud: Cloud, outputs: dict[str, str]) -> Enforcement:
        """Read the roles' policies back from IAM."""
        function = cloud.client("lambda").get_function_configuration(FunctionName=outputs["SubmitterName"])
        definitions = cloud.batch.describe_job_definitions(jobDefinitions=[outputs["CpuDefinition"]])
        worker = definitions["jobDefinitions"][0]["containerProperties"]["jobRoleArn"]
        roles = {"submitter": function["Role"], "worker": worker}
        return cls(cloud=cloud, s3=cloud.s3, statements={who: _statements(cloud, arn) for who, arn in roles.items()})

    def allows(self, call: Call) -> bool:
        if call.caller in _PEOPLE or call.service not in ("s3", "dynamodb", "batch"):
            return True
        who = "submitter" if call.caller.startswith("lambda") else "worker"
        kept = [each for number, each in enumerate(self.statements[who]) if (who, number) != self.without]
        action = f"{call.service}:{_ACTIONS.get(call.operation, call.operation)}"
        needed = {(action, on) for on in self._resources(call)}
        if call.operation in ("GetObject", "HeadObject") and not self._exists(call.key):
            needed.add(("s3:ListBucket", self._bucket))  # to be told so: S3 answers 403 to anybody else
        lacking = {action for action, on in needed if not any(_covers(each, action, on) for each in kept)}
        if lacking:
            self.denied.append(Denial(call=call, lacking=frozenset(lacking)))
        return not lacking

    @property
    def lacking(self) -> set[str]:
        """The actions for want of which requests were denied."""
        return {action for each in self.denied for action in each.lacking}

    @property
    def _bucket(self) -> str:
        return f"arn:aws:s3:::{self.cloud.bucket}"

    def _exists(self, key: str) -> bool:
        found = self.s3.list_objects_v2(Bucket=self.cloud.bucket, Prefix=key, MaxKeys=1)
        return [each["Key"] for each in found.get("Contents", [])] == [key]

    def _resources(self, call: Call) -> list[str]:
        settings = self.cloud.settings
        if call.service == "s3":
            return [f"{self._bucket}/{call.key}" if call.key else self._bucket]
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
