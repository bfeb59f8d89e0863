"""S3, Batch and DynamoDB on this machine, with a bucket, a queue, a job definition and a table."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

from infra.retry_rules import RETRY_STRATEGY
from infra.worker_container import container_properties
from scripts.simulation.gateway import Call, Gateway
from submitter.config import VARIABLES
from tests.parts import server
from tests.parts.aws import Credentials
from tests.parts.dynamodb import HOME, command

if TYPE_CHECKING:
    from mypy_boto3_batch import BatchClient
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client

INSIDE = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH")
"""The variables of this machine that a process in the simulated cloud gets."""

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cloud:
    """A small AWS account."""

    endpoint: str
    gateway: Gateway
    name: str = "simulation"
    """The name of the bucket, queue, job definition and table, unless `stack` says otherwise."""
    stack: Mapping[str, str] | None = None
    """The submitter's variables of a deployed stack that made them."""
    credentials: Credentials = field(default_factory=Credentials)

    @property
    def s3(self) -> S3Client:
        return boto3.client("s3", **self._options())

    @property
    def batch(self) -> BatchClient:
        return boto3.client("batch", **self._options())

    @property
    def dynamodb(self) -> DynamoDBClient:
        return boto3.client("dynamodb", **self._options())

    @property
    def settings(self) -> Mapping[str, str]:
        """The variables of the submitter."""
        return self.stack or dict.fromkeys(VARIABLES.values(), self.name)

    @property
    def bucket(self) -> str:
        return self.settings[VARIABLES["bucket"]]

    @property
    def table(self) -> str:
        return self.settings[VARIABLES["table"]]

    def client(self, service: str) -> Any:
        """Return a client of any other service that moto has."""
        return boto3.client(service, **self._options())  # type: ignore[call-overload]

    def _options(self) -> dict[str, Any]:
        config: Config = self.credentials.client_options()["config"]
        named = config.merge(Config(user_agent_extra="app/simulation"))
        return {**self.credentials.client_options(), "config": named, "endpoint_url": self.endpoint}

    def environment(self, caller: str) -> dict[str, str]:
        """Return the whole environment of a process in this cloud, with credentials, as a Lambda's role gives them.

        Args:
            caller: the name of the process in `Gateway.calls`.
        """
        outside = {name: os.environ[name] for name in INSIDE if name in os.environ}
        return outside | self.credentials.environment() | self.address(caller) | dict(self.settings)

    def address(self, caller: str) -> dict[str, str]:
        """Return what leads a process into this cloud, and not into AWS's."""
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_SDK_UA_APP_ID": caller}

    def create(self, job_environment: Mapping[str, str]) -> None:
        """Create what the infrastructure creates.

        Args:
            job_environment: more variables of the job definition.
        """
        self.s3.create_bucket(Bucket=self.name)
        self.dynamodb.create_table(
            TableName=self.name,
            KeySchema=[{"AttributeName": "ImageId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "ImageId", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        iam = self.client("iam")
        role = iam.create_role(RoleName=self.name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
        machines = self.batch.create_compute_environment(
            computeEnvironmentName=self.name, type="UNMANAGED", serviceRole=role
        )
        self.batch.create_job_queue(
            jobQueueName=self.name,
            priority=1,
            state="ENABLED",
            computeEnvironmentOrder=[{"order": 1, "computeEnvironment": machines["computeEnvironmentArn"]}],
        )
        properties = container_properties("cpu", self.credentials.region, job_environment)
        self.batch.register_job_definition(
            jobDefinitionName=self.name,
            type="container",
            containerProperties={"image": "embedder", **properties},  # type: ignore[arg-type]
            retryStrategy=RETRY_STRATEGY,  # type: ignore[arg-type]
        )

    def items(self) -> dict[str, dict[str, Any]]:
        """Return all items of the table, by image id."""
        pages = self.dynamodb.get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        return {item["ImageId"]["S"]: dict(item) for page in pages for item in page["Items"]}

    def get(self, key: str) -> bytes:
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def put(self, key: str, body: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=body)

    def keys(self, prefix: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def calls_of(self, caller: str) -> list[Call]:
        """Return the requests of a process, in order."""
        return [call for call in self.gateway.calls if call.caller == caller]

    def counts(self, caller: str) -> Counter[str]:
        """Count the requests of a process by service and operation."""
        return Counter(f"{call.service} {call.operation}" for call in self.calls_of(caller))


@contextmanager
def open_cloud(folder: Path, *, dynamodb: str | None = None, name: str = "simulation") -> Iterator[Cloud]:
    """Open a new, empty account that ends with the block.

    Args:
        folder: for logs.
        dynamodb: the address of a running DynamoDB Local; without it, one is started.
        name: the name of everything in the account. moto has one account a process, so two clouds need two names.
    """
    with ExitStack() as stack:
        address = (dynamodb or stack.enter_context(_dynamodb_local(folder))).removeprefix("http://")
        credentials = Credentials()
        gateway = Gateway(dynamodb=address, credentials=credentials)
        endpoint = stack.enter_context(gateway.serving())
        yield Cloud(endpoint=endpoint, gateway=gateway, name=name, credentials=credentials)


@contextmanager
def _dynamodb_local(folder: Path) -> Iterator[str]:
    home = Path(os.environ.get("DYNAMODB_LOCAL_HOME", HOME))
    port = server.free_port()
    with server.serving("DynamoDB Local", command(home, port), folder / "dynamodb.log", lambda: server.accepts(port)):
        yield f"127.0.0.1:{port}"
