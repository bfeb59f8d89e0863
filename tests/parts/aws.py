"""What every AWS-like part has in common: who calls it, and the environment a subprocess finds it with."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any

from botocore.config import Config

# Part of the environment of every test, so that nothing of the surrounding machine's AWS set-up is ever used.
SEALED = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Credentials:
    """A key pair of its own for every test: DynamoDB Local keeps a database for each access key."""

    # Letters and digits only: DynamoDB Local refuses anything else.
    access_key: str = field(default_factory=lambda: f"AKIA{uuid.uuid4().hex[:16].upper()}")
    secret_key: str = field(default_factory=lambda: uuid.uuid4().hex)
    region: str = "us-east-1"

    def environment(self) -> dict[str, str]:
        """The variables with which boto3 in a subprocess becomes this caller."""
        return SEALED | {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": self.region,
        }

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments for `boto3.client`; short timeouts, since every part is on this machine."""
        return {
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "region_name": self.region,
            "config": Config(connect_timeout=5, read_timeout=60, retries={"total_max_attempts": 2}),
        }
