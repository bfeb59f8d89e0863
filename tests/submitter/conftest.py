"""S3, Batch and DynamoDB for the submitter: moto's server, and a fake on the wire for what moto cannot do."""

from __future__ import annotations

import json
import urllib.request
import uuid
from collections.abc import Iterator

import pytest
from moto.server import ThreadedMotoServer

from submitter.config import VARIABLES, Targets
from tests.submitter.cloud import Account, Cloud, make_account, make_cloud
from tests.submitter.fake_aws import FakeAws

_UNREACHABLE = "http://127.0.0.1:9"


@pytest.fixture(scope="session")
def submitter_endpoint() -> Iterator[str]:
    """moto's server, with Batch jobs that only change their state."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    body = json.dumps({"batch": {"use_docker": False}}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/moto-api/config", data=body, method="POST"))
    yield endpoint
    server.stop()


@pytest.fixture(scope="session")
def submitter_account(submitter_endpoint: str) -> Account:
    with pytest.MonkeyPatch.context() as environment:
        _isolate(environment, submitter_endpoint)
        return make_account()


@pytest.fixture
def submitter_environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment in which boto3 reaches nothing by accident."""
    _isolate(monkeypatch, _UNREACHABLE)
    return monkeypatch


def _isolate(environment: pytest.MonkeyPatch, endpoint: str) -> None:
    for variable in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_DYNAMODB", *VARIABLES.values()):
        environment.delenv(variable, raising=False)
    environment.setenv("AWS_ACCESS_KEY_ID", "testing")
    environment.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    environment.setenv("AWS_DEFAULT_REGION", "us-east-1")
    environment.setenv("AWS_ENDPOINT_URL", endpoint)


@pytest.fixture
def submitter_cloud(
    submitter_endpoint: str, submitter_account: Account, submitter_environment: pytest.MonkeyPatch
) -> Cloud:
    """A bucket, a queue, a job definition and a table of the test's own, named in the environment."""
    submitter_environment.setenv("AWS_ENDPOINT_URL", submitter_endpoint)
    cloud = make_cloud(submitter_account, f"t{uuid.uuid4().hex[:12]}")
    for name, variable in VARIABLES.items():
        submitter_environment.setenv(variable, getattr(cloud.targets, name))
    return cloud


@pytest.fixture
def submitter_fake(submitter_environment: pytest.MonkeyPatch) -> FakeAws:
    """S3 and Batch answered inside boto3, below its parsers and retries."""
    del submitter_environment  # its work is done
    return FakeAws()


@pytest.fixture
def submitter_targets() -> Targets:
    return Targets(bucket="pictures", table="vectors", queue="queue", definition="embedder")
