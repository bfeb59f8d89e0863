"""S3 prefixes, on two independent S3 servers."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from embedder.errors import ConfigurationError, ImageError, TransientError
from embedder.sources import Selection
from embedder.sources.bucket import PrefixSource
from embedder.sources.reader import S3Reader, split_uri
from embedder.system import aws
from tests.embedder.conftest import UseEnvironment
from tests.embedder.listed import ids, references, source
from tests.embedder.pictures import jpeg
from tests.parts import fault_proxy
from tests.parts.fault_proxy import Fault
from tests.parts.s3 import S3

ODD_KEYS = (
    "odd/with space.jpg",
    "odd/a+b&c=d.jpg",
    "odd/100%25.jpg",
    'odd/it\'s "quoted".jpg',
    "odd/🐈 猫.jpg",
    "odd/q?a#b;c,d@e!.jpg",
    "odd/~tilde(1)[2]{3}.jpg",
)


def test_a_prefix_is_a_folder(bucket: S3) -> None:
    bucket.put(dict.fromkeys(("images/1.jpg", "images/more/2.jpg", "images-old/3.jpg", "images.jpg", "4.jpg"), b"x"))
    expected = ["images/1.jpg", "images/more/2.jpg"]
    assert ids(bucket.uri("images")) == expected
    assert ids(bucket.uri("images/")) == expected
    assert ids(bucket.uri("images.jpg")) == ["images.jpg"]
    assert sorted(ids(bucket.uri())) == sorted([*expected, "images-old/3.jpg", "images.jpg", "4.jpg"])


def test_references_carry_what_the_listing_knows(bucket: S3) -> None:
    bucket.put({"images/1.jpg": jpeg()})
    found = source(bucket.uri("images/"))
    (reference,) = references(found)
    etag = bucket.client().head_object(Bucket=bucket.bucket, Key="images/1.jpg")["ETag"].strip('"')
    assert (reference.uri, reference.etag, reference.size) == (bucket.uri("images/1.jpg"), etag, len(jpeg()))
    sample = found.read(reference)
    assert (sample.data, sample.reference.etag, sample.reference.uri) == (jpeg(), etag, reference.uri)


def test_suffixes_are_read_in_any_case_and_the_rest_is_counted(bucket: S3) -> None:
    bucket.put(dict.fromkeys(("i/a.JPG", "i/b.Png", "i/c.heic", "i/d.heic", "i/notjpg", "i/e.txt"), b"x"))
    found = source(bucket.uri("i"))
    assert [each.image_id for each in references(found)] == ["i/a.JPG", "i/b.Png"]
    assert found.ignored == {".heic": 2, "(no suffix)": 1, ".txt": 1}


def test_hidden_keys_and_those_of_macs_are_ignored_by_reason(moto_bucket: S3) -> None:
    keys = ("i/a.jpg", "i/._a.jpg", "i/.b.jpg", "i/__MACOSX/x.jpg", "i/@eaDir/t.jpg", "i/.t/1.jpg")
    moto_bucket.put(dict.fromkeys(keys, b"x"))
    found = source(moto_bucket.uri("i/"))
    assert [each.image_id for each in references(found)] == ["i/a.jpg"]
    assert found.ignored == {"AppleDouble": 2, "hidden": 3}
    assert ids(moto_bucket.uri("i/"), hidden=True) == ["i/.b.jpg", "i/.t/1.jpg", "i/@eaDir/t.jpg", "i/a.jpg"]
    assert ids(moto_bucket.uri("i/.t")) == ["i/.t/1.jpg"]
    assert ids(moto_bucket.uri("i/._a.jpg")) == ["i/._a.jpg"]


def test_folder_markers_are_no_images(moto_bucket: S3) -> None:
    moto_bucket.put({"i/": b"", "i/a.jpg/": b"", "i/a.jpg/b.jpg": b"x"})
    found = source(moto_bucket.uri("i/"))
    assert [each.image_id for each in references(found)] == ["i/a.jpg/b.jpg"]
    assert found.ignored == {"folder marker": 2}


def test_odd_keys_are_ids_and_can_be_read(bucket: S3) -> None:
    bucket.put({key: key.encode() for key in ODD_KEYS})
    found = source(bucket.uri("odd/"))
    listed = references(found)
    assert sorted(each.image_id for each in listed) == sorted(ODD_KEYS)
    assert {each.image_id: found.read(each).data for each in listed} == {key: key.encode() for key in ODD_KEYS}


def test_an_object_and_a_folder_of_one_name(moto_bucket: S3) -> None:
    moto_bucket.put({"images": b"an object without a suffix", "images/1.jpg": b"x"})
    assert ids(moto_bucket.uri("images/")) == ["images/1.jpg"]
    assert ids(moto_bucket.uri("images")) == ["images"]


def test_a_listing_is_lazy_and_complete(moto_bucket: S3) -> None:
    keys = [f"many/{number:05d}.jpg" for number in range(2100)]
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]  # two thousand requests would take 20 seconds
    for key in keys:
        backend.put_object(moto_bucket.bucket, key, b"x")
    reader = S3Reader(threading.Event())
    calls: list[Any] = []
    reader.client.meta.events.register("before-call.s3.ListObjectsV2", lambda **_: calls.append(1))
    found = PrefixSource(reader, moto_bucket.bucket, "many/", Selection())
    listing = found.references()
    first = next(listing)
    assert len(calls) == 1
    assert [each.image_id for each in (first, *listing)] == keys
    assert len(calls) == 3


def test_ids_can_be_uris_or_stems(moto_bucket: S3) -> None:
    moto_bucket.put({"cats/1.jpg": b"x", "dogs/2.jpg": b"x"})
    assert ids(moto_bucket.uri(), image_id="uri") == [moto_bucket.uri("cats/1.jpg"), moto_bucket.uri("dogs/2.jpg")]
    assert ids(moto_bucket.uri(), image_id="stem") == ["1", "2"]
    moto_bucket.put({"cats/2.png": b"x"})
    with pytest.raises(ConfigurationError, match="have the id '2'"):
        source(moto_bucket.uri(), image_id="stem").references()


def test_archived_objects_are_left_out_and_counted(moto_bucket: S3) -> None:
    moto_bucket.put({"i/1.jpg": b"x"})
    moto_bucket.client().put_object(Bucket=moto_bucket.bucket, Key="i/2.jpg", Body=b"x", StorageClass="GLACIER")
    found = source(moto_bucket.uri("i"))
    assert [each.image_id for each in references(found)] == ["i/1.jpg"]
    assert found.ignored == {"archived (GLACIER)": 1}


def test_an_object_that_goes_before_it_is_read_is_a_failure(bucket: S3) -> None:
    bucket.put({"i/1.jpg": b"x"})
    found = source(bucket.uri("i"))
    (reference,) = references(found)
    bucket.client().delete_object(Bucket=bucket.bucket, Key="i/1.jpg")
    with pytest.raises(ImageError) as caught:
        found.read(reference)
    assert (caught.value.error, caught.value.transient) == ("NotFound", False)


def test_an_object_that_changes_before_it_is_read_has_the_etag_of_its_bytes(bucket: S3) -> None:
    bucket.put({"i/1.jpg": b"old"})
    found = source(bucket.uri("i"))
    (reference,) = references(found)
    bucket.put({"i/1.jpg": b"newer"})
    sample = found.read(reference)
    assert sample.data == b"newer"
    assert sample.reference.etag != reference.etag
    assert sample.reference.size == 5


@pytest.mark.usefixtures("bucket")
def test_a_missing_bucket_is_named() -> None:
    with pytest.raises(ConfigurationError, match="there is no bucket no-such-bucket-anywhere"):
        list(source("s3://no-such-bucket-anywhere/images/").references())
    with pytest.raises(ConfigurationError, match="there is no bucket no-such-bucket-anywhere"):
        list(source("s3://no-such-bucket-anywhere/images").references())


def test_wrong_credentials_are_a_configuration_error(s3_rclone: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    forged = s3_rclone.environment() | {"AWS_SECRET_ACCESS_KEY": "wrong"}  # pragma: allowlist secret
    for name, value in forged.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match="does not accept these AWS credentials"):
        list(source(s3_rclone.uri("images/")).references())


@pytest.mark.parametrize("cut", [30, 100, 400, 20_000], ids=["among headers", "too", "or so", "body"])
def test_an_answer_that_is_cut_is_read_again(bucket: S3, use_environment: UseEnvironment, cut: int) -> None:
    bucket.put({"i/1.jpg": bytes(50_000)})
    with fault_proxy.before(bucket.endpoint) as proxy:
        use_environment({"AWS_ENDPOINT_URL_S3": proxy.endpoint})
        found = source(bucket.uri("i"))
        (reference,) = references(found)
        found.read(reference)  # from now on past boto3, and through it where that fails
        proxy.choose = fault_proxy.at_first(2, Fault(cut=cut), only="GET")
        sample = found.read(reference)
    assert (sample.data, sample.reference) == (bytes(50_000), reference)
    assert proxy.spoilt.total() == 2


def test_an_object_that_trickles_is_given_up_and_read_again(
    s3_rclone: S3, use_environment: UseEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_rclone.put({"i/1.jpg": bytes(3_000)})
    monkeypatch.setattr(aws, "READ_TIMEOUT", 1)
    with fault_proxy.before(s3_rclone.endpoint) as proxy:
        use_environment(s3_rclone.environment() | {"AWS_ENDPOINT_URL_S3": proxy.endpoint})
        found = source(s3_rclone.uri("i"))
        (reference,) = references(found)
        found.read(reference)  # from now on past boto3, and through it where that fails
        proxy.choose = fault_proxy.at_first(2, Fault(rate=400), only="GET")
        assert found.read(reference).data == bytes(3_000)
        assert proxy.spoilt.total() == 2, "one came to its end"


@pytest.mark.usefixtures("impatient")
def test_a_server_that_is_not_there_is_a_passing_matter(moto_bucket: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(TransientError, match="did not answer"):
        list(source(moto_bucket.uri("i/")).references())


@pytest.mark.parametrize("uri", ["s3://", "s3:///key", "S3://bucket/key", "bucket/key"])
def test_what_is_no_address_is_refused(uri: str) -> None:
    with pytest.raises(ConfigurationError, match="is not an S3 address"):
        split_uri(uri)


def test_addresses() -> None:
    assert split_uri("s3://bucket") == ("bucket", "")
    assert split_uri("s3://bucket/") == ("bucket", "")
    assert split_uri("s3://bucket/a//b c?#%20") == ("bucket", "a//b c?#%20")
