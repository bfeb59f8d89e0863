"""Objects past boto3: the same bytes and ETags as through it, and boto3's judgement of whatever is not plain."""

from __future__ import annotations

import base64
import datetime
import gc
import os
import re
import ssl
import sys
import threading
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.httpsession import DEFAULT_CA_BUNDLE
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from urllib3.util import wait_for_read

from embedder.errors import ConfigurationError, ImageError
from embedder.sources.objects import Objects
from embedder.system import aws
from tests.embedder.conftest import UseEnvironment
from tests.parts import fault_proxy
from tests.parts.fault_proxy import EXPIRED, RESET, Fault, FaultProxy, Request, always, at_first
from tests.parts.s3 import S3

KEYS_OF_FILES = ("with space.jpg", "a+b&c=d.jpg", "100%25.jpg", 'it\'s "quoted".jpg', "🐈 猫.jpg", "q?a#b;c,d@e!.jpg")
KEYS_OF_OBJECTS = ("/lead.jpg", "a//b.jpg", "trail/", "up/../..", ".", "tab\t.jpg", "*~(1)[2]{3}|^`<>\\.jpg", "e\u0301")

CHUNKS = b'HTTP/1.1 200 x\r\nETag: "x"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n0\r\n\r\n'


class Reader:
    """Objects of a bucket, and how many of them came through boto3."""

    def __init__(self, bucket: str, *, patience: float = 60, access: aws.S3Access | None = None) -> None:
        self.bucket = bucket
        self.patience = aws.Patience(threading.Event(), patience)
        self.objects = Objects(access or aws.s3_access(4))
        self.by_boto3 = 0
        self.objects.client.meta.events.register("before-call.s3.GetObject", self._count)

    def _count(self, **_: object) -> None:
        self.by_boto3 += 1

    def get(self, key: str, bucket: str = "") -> tuple[bytes, str]:
        return self.objects.get(bucket or self.bucket, key, self.patience)


@pytest.fixture
def through_proxy(s3_moto: S3, use_environment: UseEnvironment) -> Iterator[tuple[S3, FaultProxy]]:
    """A bucket with the object `1.jpg`, and a proxy before its server."""
    s3_moto.put({"1.jpg": b"right"})
    with fault_proxy.before(s3_moto.endpoint) as proxy:
        use_environment(s3_moto.environment() | {"AWS_ENDPOINT_URL_S3": proxy.endpoint})
        yield s3_moto, proxy


def answer(body: bytes, *, status: int = 200, more: str = "", length: int | None = None) -> Callable[[Request], bytes]:
    """Return what a server says, with an ETag."""
    size = len(body) if length is None else length
    head = f'HTTP/1.1 {status} x\r\nETag: "tag"\r\nContent-Length: {size}\r\n{more}\r\n'.encode()
    return lambda _: head + body


def crc32(data: bytes) -> str:
    return f"x-amz-checksum-crc32: {base64.b64encode(zlib.crc32(data).to_bytes(4, 'big')).decode()}\r\n"


def test_objects_are_the_same_past_boto3(bucket: S3) -> None:
    keys = KEYS_OF_FILES + (KEYS_OF_OBJECTS if bucket.server == "moto" else ())
    objects = {key: os.urandom(100_000 * number) for number, key in enumerate(keys)}
    bucket.put(objects)
    reader = Reader(bucket.bucket)
    reader.get(keys[0])
    with ThreadPoolExecutor(4) as executor:
        found = dict(zip(keys, executor.map(reader.get, keys), strict=True))
    assert reader.by_boto3 == 1
    assert {key: data for key, (data, _) in found.items()} == objects
    assert found == {key: reader.objects.get_once(bucket.bucket, key) for key in keys}


def test_each_bucket_has_its_address(moto_bucket: S3) -> None:
    other = S3(server="moto", endpoint=moto_bucket.endpoint, credentials=moto_bucket.credentials).create_bucket()
    moto_bucket.put({"1.jpg": b"here"})
    other.put({"1.jpg": b"there"})
    reader = Reader(moto_bucket.bucket)
    found = [reader.get("1.jpg", name)[0] for name in (moto_bucket.bucket, other.bucket) * 3]
    assert found == [b"here", b"there"] * 3
    assert reader.by_boto3 == 2


def test_the_etag_is_that_of_the_bytes(bucket: S3) -> None:
    bucket.put({"1.jpg": b"old"})
    reader = Reader(bucket.bucket)
    before = [reader.get("1.jpg") for _ in range(2)]
    bucket.put({"1.jpg": b"newer"})
    assert reader.by_boto3 == 1
    etag = bucket.client().head_object(Bucket=bucket.bucket, Key="1.jpg")["ETag"].strip('"')
    assert reader.get("1.jpg") == (b"newer", etag)
    assert before[0] == before[1]
    assert before[0][0] == b"old"


@pytest.mark.parametrize("status", [201, 204, 206, 301, 304, 307, 400, 403, 404, 412, 416, 500, 503])
def test_another_status_than_200_is_for_boto3(through_proxy: tuple[S3, FaultProxy], status: int) -> None:
    s3, proxy = through_proxy
    reader = Reader(s3.bucket)
    reader.get("1.jpg")
    more = "Location: http://127.0.0.1:9/elsewhere\r\nx-amz-bucket-region: us-west-2\r\n"
    proxy.choose = at_first(1, Fault(answer=answer(b"wrong", status=status, more=more)))
    assert reader.get("1.jpg")[0] == b"right"
    assert (reader.by_boto3, proxy.spoilt.total()) == (2, 1)
    assert reader.get("1.jpg")[0] == b"right"
    assert reader.by_boto3 == 2


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(RESET, id="reset"),
        pytest.param(Fault(cut=0), id="nothing"),
        pytest.param(Fault(cut=40), id="cut among headers"),
        pytest.param(Fault(answer=answer(b"wro", length=5), cut=1000), id="cut in the body"),
        pytest.param(Fault(answer=lambda _: b"HTTP/1.1 200 x\r\nContent-Length: 5\r\n\r\nwrong"), id="no ETag"),
        pytest.param(Fault(answer=lambda _: b'HTTP/1.1 200 x\r\nETag: "x"\r\n\r\nwrong', cut=1000), id="no length"),
        pytest.param(
            Fault(
                answer=lambda _: (
                    b'HTTP/1.1 200 x\r\nETag: "x"\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwrong\r\n0\r\n\r\n'
                )
            ),
            id="chunks",
        ),
        pytest.param(Fault(answer=lambda _: b"\x15\x03\x01\x00\x02\x02\x46" * 9, cut=1000), id="not HTTP"),
        pytest.param(Fault(answer=answer(b"wrong", more=crc32(b"right"))), id="damaged"),
    ],
)
def test_what_does_not_come_whole_is_asked_for_again(through_proxy: tuple[S3, FaultProxy], fault: Fault) -> None:
    s3, proxy = through_proxy
    reader = Reader(s3.bucket)
    reader.get("1.jpg")
    proxy.choose = at_first(2, fault)  # first past boto3 and then through it
    assert reader.get("1.jpg")[0] == b"right"
    assert (reader.by_boto3, proxy.spoilt.total()) == (3, 2)


def test_what_memory_does_not_hold_is_one_failure(through_proxy: tuple[S3, FaultProxy]) -> None:
    s3, proxy = through_proxy
    reader = Reader(s3.bucket)
    for length in (1 << 62, 1 << 90):
        reader.get("1.jpg")
        proxy.choose = at_first(1, Fault(answer=answer(b"", length=length)))
        with pytest.raises(ImageError, match=f"{length} bytes does not fit into memory") as caught:
            reader.get("1.jpg")
        assert (caught.value.error, caught.value.transient) == ("TooLarge", False)
    assert reader.by_boto3 == 1


def test_what_is_always_damaged_is_a_passing_failure(through_proxy: tuple[S3, FaultProxy]) -> None:
    s3, proxy = through_proxy
    reader = Reader(s3.bucket, patience=0.5)
    reader.get("1.jpg")
    proxy.choose = always(Fault(answer=answer(b"wrong", more=crc32(b"right"))))
    with pytest.raises(ImageError, match="checksum") as caught:
        reader.get("1.jpg")
    assert caught.value.transient
    assert proxy.spoilt.total() > 1


def test_checksums_that_boto3_is_told_not_to_ask_for_are_not_compared(
    through_proxy: tuple[S3, FaultProxy], use_environment: UseEnvironment
) -> None:
    s3, proxy = through_proxy
    use_environment({"AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required"})
    reader = Reader(s3.bucket)
    reader.get("1.jpg")
    asked: list[bytes] = []

    def choose(request: Request) -> Fault:
        asked.append(request.head)
        return Fault(answer=answer(b"other", more=crc32(b"right")))

    proxy.choose = choose
    assert reader.get("1.jpg") == (b"other", "tag")
    assert reader.by_boto3 == 1
    assert b"x-amz-checksum-mode" not in asked[0]


@pytest.mark.parametrize("algorithm", ["CRC32", "SHA1", "SHA256"])
def test_checksums_of_a_server_are_right(moto_bucket: S3, algorithm: Any) -> None:
    moto_bucket.client().put_object(Bucket=moto_bucket.bucket, Key="1.jpg", Body=b"x", ChecksumAlgorithm=algorithm)
    reader = Reader(moto_bucket.bucket)
    assert [reader.get("1.jpg")[0] for _ in range(2)] == [b"x", b"x"]
    assert reader.by_boto3 == 1
    sent = reader.objects.client.get_object(Bucket=moto_bucket.bucket, Key="1.jpg", ChecksumMode="ENABLED")
    assert f"Checksum{algorithm}" in sent


def test_connections_are_kept_until_the_server_closes_them(through_proxy: tuple[S3, FaultProxy]) -> None:
    s3, proxy = through_proxy
    reader = Reader(s3.bucket)
    reader.get("1.jpg")
    proxy.choose = at_first(1, Fault(answer=answer(b"last"), cut=1000))  # whole, and then the connection ends
    assert reader.get("1.jpg")[0] == b"last"
    (kept,) = reader.objects.shortcut.routes[s3.bucket].idle
    assert wait_for_read(kept.sock, timeout=10), "the end of the connection arrived"
    assert [reader.get("1.jpg")[0] for _ in range(3)] == [b"right"] * 3
    assert reader.by_boto3 == 1


def test_closing_leaves_no_descriptor(s3_rclone: S3, use_environment: UseEnvironment) -> None:
    """rclone is another process, so that its ends of the connections do not count."""
    s3_rclone.put({"1.jpg": b"x"})
    use_environment(s3_rclone.environment())
    reader = Reader(s3_rclone.bucket)
    reader.get("1.jpg")
    gc.collect()
    before = psutil.Process().num_fds()
    with ThreadPoolExecutor(4) as executor:
        assert {data for data, _ in executor.map(reader.get, ["1.jpg"] * 20)} == {b"x"}
    assert reader.by_boto3 == 1
    reader.objects.close()
    assert psutil.Process().num_fds() <= before
    assert reader.get("1.jpg")[0] == b"x"
    reader.objects.close()


SCRIPT = """
import json, sys
key = open(sys.argv[1]).read()
print(json.dumps({"Version": 1, "AccessKeyId": key, "SecretAccessKey": "s", "SessionToken": f"token-of-{key}",
                  "Expiration": sys.argv[2]}))
"""


def test_credentials_that_change_are_taken_up(
    through_proxy: tuple[S3, FaultProxy], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, proxy = through_proxy
    script, key = tmp_path / "script.py", tmp_path / "key"
    script.write_text(SCRIPT)
    soon = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=8)  # so soon that boto3 asks every time
    (tmp_path / "config").write_text(
        f"[default]\ncredential_process = {sys.executable} {script} {key} {soon.isoformat()}\n"
    )
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    heads: list[str] = []
    proxy.choose = lambda request: heads.append(request.head.decode())
    key.write_text("FIRST")
    reader = Reader(s3.bucket)
    for _ in range(2):
        assert reader.get("1.jpg")[0] == b"right"
    key.write_text("SECOND")
    assert reader.get("1.jpg")[0] == b"right"
    assert reader.by_boto3 == 1
    found = [re.search(r"Credential=(\w+)/", head, re.IGNORECASE) for head in heads]
    assert [each and each[1] for each in found] == ["FIRST", "FIRST", "SECOND"]
    assert ["token-of-SECOND" in head for head in heads] == [False, False, True]


def test_credentials_that_have_expired_are_named(through_proxy: tuple[S3, FaultProxy]) -> None:
    s3, proxy = through_proxy
    reader = Reader(s3.bucket)
    reader.get("1.jpg")
    proxy.choose = always(EXPIRED)
    with pytest.raises(ConfigurationError, match="does not accept these AWS credentials: ExpiredToken"):
        reader.get("1.jpg")
    assert reader.by_boto3 == 2


def test_a_secret_that_is_wrong_from_now_on_is_named(s3_rclone: S3, use_environment: UseEnvironment) -> None:
    s3_rclone.put({"1.jpg": b"x"})
    use_environment(s3_rclone.environment())
    reader = Reader(s3_rclone.bucket)
    for _ in range(2):
        reader.get("1.jpg")
    assert reader.by_boto3 == 1
    credentials: Any = reader.objects.shortcut.access.credentials
    credentials.secret_key = "wrong"  # pragma: allowlist secret
    with pytest.raises(ConfigurationError, match="does not accept these AWS credentials: SignatureDoesNotMatch"):
        reader.get("1.jpg")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
def test_a_proxy_is_for_boto3(moto_bucket: S3, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    moto_bucket.put({"1.jpg": b"x"})
    with fault_proxy.before(moto_bucket.endpoint) as proxy:
        monkeypatch.setenv(variable, proxy.endpoint)
        reader = Reader(moto_bucket.bucket)
        assert [reader.get("1.jpg")[0] for _ in range(3)] == [b"x"] * 3
        assert (reader.by_boto3, proxy.passed.total()) == (3, 3)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        direct = Reader(moto_bucket.bucket)
        assert [direct.get("1.jpg")[0] for _ in range(3)] == [b"x"] * 3
        assert (direct.by_boto3, proxy.passed.total()) == (1, 3)


def own_certificate(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return what a server needs to be `localhost` to those who trust a file, and that file."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=localhost")
    today = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    public, private = folder / "public.pem", folder / "private.pem"
    public.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(public, private)
    return context, public


@pytest.mark.parametrize("variable", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_tls_trusts_whom_boto3_trusts(
    moto_bucket: S3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    moto_bucket.put({"1.jpg": b"x"})
    server, certificate = own_certificate(tmp_path)
    with fault_proxy.before(moto_bucket.endpoint, tls=server) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", proxy.endpoint)
        monkeypatch.setenv(variable, str(certificate))
        reader = Reader(moto_bucket.bucket)
        assert [reader.get("1.jpg")[0] for _ in range(3)] == [b"x"] * 3
        assert (reader.by_boto3, proxy.past_boto3) == (1, 2)
        access = replace(aws.s3_access(4), certificates=DEFAULT_CA_BUNDLE)
        suspicious = Reader(moto_bucket.bucket, access=access)
        assert [suspicious.get("1.jpg")[0] for _ in range(3)] == [b"x"] * 3
        assert (suspicious.by_boto3, proxy.past_boto3) == (3, 2)
