"""The parts are real: they answer, and they refuse what the services refuse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError
from PIL import Image

from tests import photographs as photos
from tests.cli import Cli
from tests.parts import server
from tests.parts.aws import Credentials
from tests.parts.dynamodb import DynamoDB
from tests.parts.missing import missing
from tests.parts.s3 import S3

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import AttributeValueTypeDef, WriteRequestTypeDef


def item(image_id: str) -> dict[str, AttributeValueTypeDef]:
    return {"ImageId": {"S": image_id}}


def puts(*image_ids: str) -> list[WriteRequestTypeDef]:
    return [{"PutRequest": {"Item": item(image_id)}} for image_id in image_ids]


def refusal(error: pytest.ExceptionInfo[ClientError]) -> str:
    return f"{error.value.response['Error']['Code']}: {error.value.response['Error']['Message']}"


class TestS3:
    def test_keeps_what_it_is_given(self, s3: S3) -> None:
        objects = {"cats/1.jpg": b"one", "cats/schön & süß.jpg": b"two", "dogs/1.jpg": b""}
        s3.put(objects)
        assert s3.keys() == sorted(objects)
        assert s3.keys("cats/") == ["cats/1.jpg", "cats/schön & süß.jpg"]
        assert {key: s3.get(key) for key in objects} == objects
        etag = s3.client().head_object(Bucket=s3.bucket, Key="cats/1.jpg")["ETag"]
        assert etag == '"f97c5d29941bfb1b2fdab0874906ab82"'  # the MD5 of `one`, as in S3

    def test_every_test_has_an_empty_bucket(self, s3: S3) -> None:
        assert s3.keys() == []

    def test_rclone_verifies_signatures(self, s3_rclone: S3) -> None:
        forged = Credentials(access_key=s3_rclone.credentials.access_key)
        stranger = S3(server="rclone", endpoint=s3_rclone.endpoint, credentials=forged, bucket=s3_rclone.bucket)
        with pytest.raises(ClientError) as error:
            stranger.keys()
        assert "SignatureDoesNotMatch" in refusal(error)

    def test_moto_honours_if_none_match(self, s3_moto: S3) -> None:
        put = s3_moto.client().put_object
        put(Bucket=s3_moto.bucket, Key="run.json", Body=b"{}", IfNoneMatch="*")
        with pytest.raises(ClientError) as error:
            put(Bucket=s3_moto.bucket, Key="run.json", Body=b"{}", IfNoneMatch="*")
        assert "PreconditionFailed" in refusal(error)


class TestDynamoDB:
    def test_keeps_what_it_is_given(self, dynamodb: DynamoDB) -> None:
        table = dynamodb.create_table()
        stored: dict[str, AttributeValueTypeDef] = {
            "ImageId": {"S": "a.jpg"},
            "Vector": {"B": b"\0\1"},
            "Dimension": {"N": "512"},
        }
        dynamodb.client().put_item(TableName=table, Item=stored)
        assert dynamodb.items() == {"a.jpg": stored}

    def test_every_test_has_an_empty_database(self, dynamodb: DynamoDB) -> None:
        assert dynamodb.client().list_tables()["TableNames"] == []
        dynamodb.create_table()
        assert DynamoDB(endpoint=dynamodb.endpoint).client().list_tables()["TableNames"] == []

    def test_refuses_more_than_25_items(self, dynamodb: DynamoDB) -> None:
        table = dynamodb.create_table()
        requests = puts(*map(str, range(26)))
        dynamodb.client().batch_write_item(RequestItems={table: requests[:25]})
        with pytest.raises(ClientError) as error:
            dynamodb.client().batch_write_item(RequestItems={table: requests})
        assert "Too many items" in refusal(error)
        assert len(dynamodb.items()) == 25

    def test_refuses_duplicates_and_large_items(self, dynamodb: DynamoDB) -> None:
        table = dynamodb.create_table()
        with pytest.raises(ClientError) as error:
            dynamodb.client().batch_write_item(RequestItems={table: puts("a", "a")})
        assert "duplicates" in refusal(error)
        with pytest.raises(ClientError) as error:
            dynamodb.client().put_item(TableName=table, Item={**item("a"), "Vector": {"B": bytes(400 * 1024)}})
        assert "size" in refusal(error)


def test_a_subprocess_finds_every_part_through_its_environment(s3: S3, dynamodb: DynamoDB, tmp_path: Path) -> None:
    s3.put({"a.jpg": b"one"})
    dynamodb.create_table()
    script = tmp_path / "found.py"
    script.write_text(
        "import sys, boto3\n"
        "print(boto3.client('s3').get_object(Bucket=sys.argv[1], Key='a.jpg')['Body'].read().decode())\n"
        "print(boto3.client('dynamodb').list_tables()['TableNames'])\n"
    )
    cli = Cli(folder=tmp_path)
    found = cli(s3.bucket, program="found", env=s3.environment() | dynamodb.environment() | {"PYTHONPATH": "."})
    assert (found.returncode, found.stdout) == (0, "one\n['vectors']\n"), found.stderr


def test_batch_answers_without_containers(moto_endpoint: str, credentials: Credentials) -> None:
    client = boto3.client("batch", endpoint_url=moto_endpoint, **credentials.client_options())
    assert client.describe_job_queues(jobQueues=["nobody-made-it"])["jobQueues"] == []  # others may have made theirs


class TestServers:
    def test_the_surroundings_are_sealed(self) -> None:
        assert os.environ["AWS_CONFIG_FILE"] == "/dev/null"
        assert "AWS_PROFILE" not in os.environ

    def test_a_server_that_ends_at_once_says_why(self, tmp_path: Path) -> None:
        command = ["sh", "-c", "echo no such option >&2; exit 3"]
        with (
            pytest.raises(server.ServerError, match="no such option"),
            server.serving("it", command, tmp_path / "log", lambda: False),
        ):
            pass

    def test_a_server_goes_with_whoever_held_its_lifeline(self, tmp_path: Path) -> None:
        reading, writing = os.pipe()
        process = server.start(["sleep", "600"], tmp_path / "log", reading)
        os.close(reading)
        assert process.poll() is None
        os.close(writing)
        assert process.wait(10) != 0

    def test_a_missing_part_skips_but_fails_in_ci(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CI", raising=False)
        with pytest.raises(pytest.skip.Exception, match="no Java"):
            missing("no Java")
        monkeypatch.setenv("CI", "true")
        with pytest.raises(pytest.fail.Exception, match="no Java"):
            missing("no Java")


class TestPhotographs:
    def test_there_are_many_and_all_can_be_decoded(self, photographs: list[Path]) -> None:
        assert {path.name for path in photographs} >= set(photos.COLOURFUL)
        assert len(photographs) >= 25
        for path in photographs:
            with Image.open(path) as image:
                image.load()

    def test_variations_differ_and_repeat(self, photo_folder: Path, tmp_path: Path) -> None:
        first = sorted(path for path in photo_folder.rglob("*.jpg"))
        assert len({path.read_bytes() for path in first}) == 12
        again = sorted(photos.write_photos(tmp_path / "again", 12))
        assert [path.read_bytes() for path in again] == [path.read_bytes() for path in first]

    def test_scripts_run_finds_their_folder(self) -> None:
        found = subprocess.check_output([sys.executable, photos.__file__], text=True)
        assert Path(found.strip()) == photos.folder()


def test_weights_leave_no_batch_norm_at_its_defaults(weights: Path) -> None:
    import torch

    state = torch.load(weights, weights_only=True)
    for name, value in state.items():
        if name.endswith("running_var"):
            layer = name.removesuffix(".running_var")
            assert not torch.allclose(value, torch.ones_like(value), atol=1e-3), name
            assert state[f"{layer}.running_mean"].abs().max() > 1e-3, name
            assert (state[f"{layer}.weight"] - 1).abs().max() > 1e-2, name
