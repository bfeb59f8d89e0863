"""`embedder doctor` on real parts: what is wrong is found, said with its remedy, and nothing is changed."""

from __future__ import annotations

import http.server
import json
import shutil
import socket
import threading
import uuid
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from embedder.doctor import Check, Finding, disk, examine, machine, ok
from tests.embedder.commands import command
from tests.embedder.conftest import UseEnvironment
from tests.embedder.pictures import put
from tests.embedder.sources.test_run import write_run
from tests.embedder.stand_in import PixelEncoder
from tests.embedder.stored import fill, stored
from tests.parts.aws import Credentials
from tests.parts.dynamodb import DynamoDB
from tests.parts.s3 import S3

Told = dict[str, dict[str, str]]
CLOUD = (
    "credentials",
    "bucket",
    "images",
    "reading",
    "reports",
    "table",
    "table: lookup",
    "table: scan",
    "table: write",
)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EMBEDDER_ENGINE", "torch")
    monkeypatch.setenv("EMBEDDER_PRECISION", "full")


def doctor(*words: str | Path, code: int | None = None) -> Told:
    """Ask it; by default exit code 1 exactly if something has failed."""
    found = command("doctor", "--weights", "random", *words, "--json")
    assert found.stderr == "", found.stderr
    results = {each["check"]: each for each in json.loads(found.stdout)}
    failed = any(each["status"] == "failed" for each in results.values())
    assert found.returncode == (int(failed) if code is None else code)
    assert all(each["remedy"] for each in results.values() if each["status"] in ("failed", "warning"))
    return results


def statuses(told: Told, *names: str) -> dict[str, str]:
    return {name: told[name]["status"] for name in names}


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the model, for tests of other things."""
    from embedder.doctor.model import ModelExam

    for name in ("engine", "golden", "weights"):
        monkeypatch.setattr(ModelExam, name, lambda _: ok("left out"))


class TestThisMachine:
    def test_all_is_well(self, tmp_path: Path, weights: Path) -> None:
        put(tmp_path / "images", "1.jpg")
        told = doctor("images", "--store", "v.db", "--weights", weights, code=0)
        assert not [each for each in told.values() if each["status"] == "failed"]
        assert "fits resnet18" in told["weights"]["found"]
        assert "cosine 1.0000" in told["golden vectors"]["found"]
        assert "JPEG, PNG" in told["decoding"]["found"]
        assert "'1.jpg'" in told["images"]["found"]
        assert not (tmp_path / "v.db").exists(), "nothing is changed"

    @pytest.mark.usefixtures("light")
    def test_a_person_gets_lines(self, tmp_path: Path) -> None:
        found = command("doctor", "nowhere", "--store", tmp_path / "no" / "v.db")
        assert found.returncode == 1
        lines = found.stdout.splitlines()
        assert any(line.startswith("failed   images") and "no file or folder nowhere" in line for line in lines)
        assert "→ name a folder of images" in found.stdout
        assert "→ make it first" in found.stdout
        assert "2 failed" in lines[-1]

    def test_an_engine_that_disagrees(self, encoder: PixelEncoder) -> None:
        told = doctor()
        assert encoder.opened == 1
        assert told["golden vectors"]["status"] == "failed"
        assert "--engine torch --device cpu" in told["golden vectors"]["remedy"]

    @pytest.mark.usefixtures("encoder")
    def test_weights_that_are_wrong_or_not_there(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
        monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")  # nothing listens there
        told = doctor("--weights", "default")
        assert statuses(told, "weights", "engine", "golden vectors") == {
            "weights": "failed",
            "engine": "skipped",
            "golden vectors": "skipped",
        }
        assert "cannot be downloaded" in told["weights"]["found"]
        assert "--weights PATH" in told["weights"]["remedy"]
        published = tmp_path / "torch" / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
        published.parent.mkdir(parents=True)
        published.write_bytes(b"something else")
        told = doctor("--weights", "default")
        assert "is not the file that torchvision publishes" in told["weights"]["found"]
        assert "delete it" in told["weights"]["remedy"]
        (tmp_path / "w.pth").write_bytes(b"no weights")
        assert "not a state dict" in doctor("--weights", "w.pth")["weights"]["found"]
        assert "nowhere.pth cannot be read" in doctor("--weights", "nowhere.pth")["weights"]["found"]

    @pytest.mark.usefixtures("encoder")
    def test_a_device_that_is_not_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import torch

        if torch.cuda.is_available():
            pytest.skip("there is a GPU")
        monkeypatch.setenv("EMBEDDER_DEVICE", "cuda")
        assert statuses(doctor(), "device", "engine") == {"device": "failed", "engine": "failed"}

    @pytest.mark.usefixtures("light")
    def test_a_store_of_another_model(self, tmp_path: Path) -> None:
        put(tmp_path / "images", "1.jpg")
        (tmp_path / "images" / "0.jpg").write_bytes(b"x")
        fill("v.db", [stored("a", fingerprint="resnet18/other/pre1/float32")])
        told = doctor("images", "--store", "v.db", code=0)
        assert statuses(told, "store", "reading") == {"store": "warning", "reading": "warning"}
        assert "resnet18/other/pre1/float32" in told["store"]["found"]

    def test_a_folder_that_cannot_be_written(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert disk.store_folder("/proc/v.db").status == "failed"
        monkeypatch.setenv("XDG_CACHE_HOME", "/proc/cache")
        assert disk.cache().status == "warning"

    def test_a_disk_that_is_full(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        usage = namedtuple("usage", "total used free")
        for free, status in ((1 << 20, "failed"), (1 << 29, "warning"), (1 << 40, "ok")):
            monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage(1 << 50, 0, free))
            assert disk.store_folder(str(tmp_path / "v.db")).status == status

    def test_a_container_s_limits(self, tmp_path: Path) -> None:
        (tmp_path / "memory.max").write_text(f"{512 << 20}\n")
        found = machine.memory(None, tmp_path)
        assert (found.status, found.found.split(",")[0]) == ("warning", "512 MiB in the container")
        assert machine.descriptors(1_000_000).status == "warning"
        assert machine.shared_memory(tmp_path / "none").status == "warning"


def test_a_check_that_breaks_hides_no_other() -> None:
    def broken() -> Finding:
        raise KeyError("a bug")

    results = list(examine([Check("first", broken), Check("second", lambda: ok("fine"))]))
    assert [(each.check, each.status) for each in results] == [("first", "failed"), ("second", "ok")]
    assert "KeyError" in results[0].found


@pytest.mark.usefixtures("light")
class TestTheCloud:
    def test_all_is_well_and_nothing_is_written(self, bucket: S3, table: DynamoDB) -> None:
        location = write_run(bucket)
        before = bucket.keys()
        told = doctor(location.uri, code=0)
        assert statuses(told, *CLOUD) == dict.fromkeys(CLOUD, "ok"), told
        assert "shard 0 of 3, the first image is 'images/0.jpg'" in told["images"]["found"]
        assert told["clock"]["status"] == "ok"
        assert told["identity"]["status"] == "skipped"
        assert bucket.keys() == before
        assert table.items() == {}

    def test_a_prefix_is_not_written_to(self, moto_bucket: S3) -> None:
        write_run(moto_bucket)
        told = doctor(moto_bucket.uri("images/"), code=0)
        assert statuses(told, "bucket", "images", "reading", "reports") == {
            "bucket": "ok",
            "images": "ok",
            "reading": "ok",
            "reports": "skipped",
        }
        assert "no image" in doctor(moto_bucket.uri("nothing/"))["images"]["found"]

    def test_no_bucket_and_no_table(self, moto_bucket: S3, dynamodb: DynamoDB, use_environment: UseEnvironment) -> None:
        use_environment(dynamodb.environment())
        told = doctor(f"s3://{moto_bucket.bucket}-not/images/", "--store", "dynamodb://vectors")
        assert "there is no bucket" in told["bucket"]["found"]
        assert "there is no DynamoDB table vectors" in told["table"]["found"]
        names = ("images", "reading", "table: lookup", "table: scan", "table: write")
        assert statuses(told, *names) == dict.fromkeys(names, "skipped")

    def test_a_table_with_another_key(self, dynamodb: DynamoDB, use_environment: UseEnvironment) -> None:
        use_environment(dynamodb.environment())
        dynamodb.client().create_table(
            TableName="other",
            KeySchema=[{"AttributeName": "Id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "Id", "AttributeType": "N"}],
            BillingMode="PAY_PER_REQUEST",
        )
        told = doctor("--store", "dynamodb://other")
        assert "has the key Id (N, HASH)" in told["table"]["found"]
        assert told["table: write"]["status"] == "skipped"

    def test_credentials_that_are_not_accepted(self, s3_rclone: S3, use_environment: UseEnvironment) -> None:
        forged = Credentials(access_key=s3_rclone.credentials.access_key)
        use_environment(s3_rclone.environment() | forged.environment())
        told = doctor(s3_rclone.uri("images/"))
        assert told["bucket"]["status"] == "failed"
        assert "SignatureDoesNotMatch" in told["bucket"]["found"]

    def test_no_credentials_and_no_region(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = doctor("s3://bucket/images/")
        assert statuses(told, "credentials", "identity") == {"credentials": "failed", "identity": "skipped"}
        assert "AWS_PROFILE" in told["credentials"]["remedy"]
        assert "needs AWS credentials" in told["bucket"]["found"]
        monkeypatch.delenv("AWS_DEFAULT_REGION")
        assert doctor("s3://bucket/images/")["region"]["status"] == "failed"

    def test_services_that_do_not_answer(self, credentials: Credentials, use_environment: UseEnvironment) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            address = f"http://127.0.0.1:{silent.getsockname()[1]}"
            use_environment(
                credentials.environment()
                | {"AWS_ENDPOINT_URL_S3": address, "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:9"}
            )
            told = doctor("s3://bucket/images/", "--store", "dynamodb://vectors")
        for name in ("bucket", "table"):
            assert told[name]["status"] == "failed"
            assert "did not answer" in told[name]["found"]
        assert told["clock"]["status"] == "skipped"

    def test_who_we_are(self, moto_bucket: S3, moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto_endpoint)
        told = doctor(moto_bucket.uri("images/"))
        assert told["identity"]["status"] == "ok"
        assert "in account 123456789012" in told["identity"]["found"]

    @pytest.mark.parametrize(("seconds", "status"), [(10, "ok"), (-120, "warning"), (1000, "failed")])
    def test_a_clock_that_is_off(
        self, moto_bucket: S3, seconds: int, status: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with another_time(moto_bucket.endpoint, seconds) as endpoint:
            monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
            told = doctor(moto_bucket.uri("images/"))
        assert told["clock"]["status"] == status, told["clock"]
        assert ("behind" if seconds > 0 else "ahead") in told["clock"]["found"]

    @pytest.mark.parametrize(
        ("denied", "check"),
        [
            (None, None),
            ("s3:ListBucket", "bucket"),
            ("s3:GetObject", "images"),
            ("s3:PutObject", "reports"),
            ("dynamodb:DescribeTable", "table"),
            ("dynamodb:BatchGetItem", "table: lookup"),
            ("dynamodb:Scan", "table: scan"),
            ("dynamodb:BatchWriteItem", "table: write"),
        ],
    )
    def test_each_permission_that_is_missing_is_named(
        self,
        s3_moto: S3,
        moto_endpoint: str,
        use_environment: UseEnvironment,
        denied: str | None,
        check: str | None,
    ) -> None:
        location = write_run(s3_moto)
        DynamoDB(endpoint=moto_endpoint, credentials=s3_moto.credentials).create_table(s3_moto.bucket)
        user = user_without(denied, moto_endpoint, s3_moto.credentials)
        use_environment(user.environment() | {"AWS_ENDPOINT_URL": moto_endpoint})
        with moto_checks_permissions():
            told = doctor(location.uri, "--store", f"dynamodb://{s3_moto.bucket}")
        failed = {name for name, each in told.items() if each["status"] == "failed"}
        assert failed == ({check} if check else set()), told
        if check and denied:
            assert "denied" in told[check]["found"]
            about = told[check]["found"] + told[check]["remedy"]
            assert denied in about or "permissions" in about
        assert "/reports/" not in "".join(s3_moto.keys())


NEEDED = (
    *("s3:ListBucket", "s3:GetObject", "s3:PutObject"),
    *("dynamodb:DescribeTable", "dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:Scan"),
)


def user_without(denied: str | None, endpoint: str, credentials: Credentials) -> Credentials:
    """A user of moto's who may do all that a worker needs, but one thing."""
    iam = boto3.client("iam", endpoint_url=endpoint, **credentials.client_options())
    name = f"worker-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    allowed = {"Effect": "Allow", "Action": [each for each in NEEDED if each != denied], "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
    iam.put_user_policy(UserName=name, PolicyName="worker", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return Credentials(access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"])


@contextmanager
def moto_checks_permissions() -> Iterator[None]:
    """Let moto look at policies and signatures, which it does not by itself."""
    from moto import settings
    from moto.core.authorization import ActionAuthenticatorMixin

    before = settings.INITIAL_NO_AUTH_ACTION_COUNT
    settings.INITIAL_NO_AUTH_ACTION_COUNT, ActionAuthenticatorMixin.request_count = 0, 0
    try:
        yield
    finally:
        settings.INITIAL_NO_AUTH_ACTION_COUNT = before


@contextmanager
def another_time(endpoint: str, seconds: int) -> Iterator[str]:
    """The address of a server that passes requests on, and answers with a Date so many seconds off."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "accept-encoding"}
            answer = requests.request(self.command, f"{endpoint}{self.path}", headers=headers, timeout=10)
            self.send_response_only(answer.status_code)
            self.send_header("Date", format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True))
            for name, value in answer.headers.items():
                if name.lower() not in ("date", "connection", "content-length", "transfer-encoding"):
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_HEAD = do_GET  # noqa: N815 - http.server's name

        def log_message(self, *_: Any) -> None:
            """Nobody wants to read these."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
