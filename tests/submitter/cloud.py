"""A small AWS account in moto's server."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import boto3

from submitter.clients import Services
from submitter.config import Targets
from submitter.manifest import Entry, Run, RunLocation, parse_entries


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """Everything a submission needs, by real clients."""

    targets: Targets
    services: Services

    def put(self, *keys: str, body: bytes = b"picture", storage_class: str = "STANDARD") -> None:
        for key in keys:
            self.services.s3.put_object(
                Bucket=self.targets.bucket,
                Key=key,
                Body=body,
                StorageClass=storage_class,  # type: ignore[arg-type]
            )

    def put_json(self, key: str, value: object) -> None:
        self.put(key, body=json.dumps(value).encode())

    def get(self, key: str) -> bytes:
        return self.services.s3.get_object(Bucket=self.targets.bucket, Key=key)["Body"].read()

    def keys(self, prefix: str = "") -> list[str]:
        pages = self.services.s3.get_paginator("list_objects_v2").paginate(Bucket=self.targets.bucket, Prefix=prefix)
        return [each["Key"] for page in pages for each in page.get("Contents", [])]

    def run(self, uri: str) -> Run:
        return Run.from_json(self.get(RunLocation.parse(uri).run_key))

    def entries(self, uri: str) -> list[list[Entry]]:
        """The entries of a run, shard by shard."""
        location = RunLocation.parse(uri)
        count = self.run(uri).shards
        return [list(parse_entries(self.get(location.shard_key(number)))) for number in range(count)]

    def jobs(self) -> list[Any]:
        """Every job of the queue, as Batch describes it."""
        listed = self.services.batch.list_jobs(
            jobQueue=self.targets.queue, filters=[{"name": "JOB_NAME", "values": ["*"]}]
        )["jobSummaryList"]
        ids = [job["jobId"] for job in listed if ":" not in job["jobId"]]
        return list(self.services.batch.describe_jobs(jobs=ids)["jobs"]) if ids else []

    def environment(self, job: Any) -> dict[str, str]:
        return {each["name"]: each["value"] for each in job["container"]["environment"]}

    def report(self, uri: str, number: int, embedded: int, skipped: int, failures: Iterable[str] = ()) -> None:
        """What a worker writes when it is done with a shard."""
        location, failed = RunLocation.parse(uri), list(failures)
        lines = [
            {
                "image_id": key,
                "stage": "decode",
                "error": "UnidentifiedImageError",
                "message": "?",
                "etag": None,
            }
            for key in failed
        ]
        self.put(location.failures_key(number), body="\n".join(map(json.dumps, lines)).encode())
        counts = {"embedded": embedded, "skipped": skipped, "failed": len(failed)}
        self.put_json(location.report_key(number), {"images": sum(counts.values()), **counts})

    def store(self, image_id: str, etag: str, fingerprint: str = "resnet18/abc/pre1/float32") -> None:
        """What a worker writes for an image."""
        self.services.dynamodb.put_item(
            TableName=self.targets.table,
            Item={"ImageId": {"S": image_id}, "ETag": {"S": etag}, "Fingerprint": {"S": fingerprint}},
        )


@dataclass(frozen=True, kw_only=True)
class Account:
    """What tests share: clients, which take long to make, and where jobs run."""

    services: Services
    compute_environment: str


def make_account() -> Account:
    """Open an account at the endpoint that the environment names."""
    services = Services()
    _ = services.s3, services.pages, services.dynamodb, services.submitting  # made here and now
    name = f"a{uuid.uuid4().hex[:12]}"  # one server may serve several tests' accounts
    role = boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    environment = services.batch.create_compute_environment(
        computeEnvironmentName=name, type="UNMANAGED", serviceRole=role
    )
    return Account(services=services, compute_environment=environment["computeEnvironmentArn"])


def make_cloud(account: Account, name: str) -> Cloud:
    """Create what the environment of a Lambda names."""
    services = account.services
    services.s3.create_bucket(Bucket=name)
    services.dynamodb.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "ImageId", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "ImageId", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    services.batch.create_job_queue(
        jobQueueName=name,
        priority=1,
        state="ENABLED",
        computeEnvironmentOrder=[{"order": 1, "computeEnvironment": account.compute_environment}],
    )
    services.batch.register_job_definition(
        jobDefinitionName=name,
        type="container",
        containerProperties={"image": "embedder", "command": ["run"], "vcpus": 1, "memory": 512},
    )
    targets = Targets(bucket=name, table=name, queue=name, definition=name)
    return Cloud(targets=targets, services=services)
