"""S3 as it is read: how many objects at once, and whose fault it is when one does not come."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from embedder.errors import ConfigurationError, ImageError, TransientError
from embedder.records import Reference
from embedder.sources import DENIED
from embedder.sources.reader import S3Reader, reader_threads
from embedder.system import aws
from tests.embedder.conftest import UseEnvironment
from tests.parts import fault_proxy
from tests.parts.fault_proxy import RESET, SLOW_DOWN, FaultProxy, always
from tests.parts.s3 import S3


@pytest.fixture
def proxy(moto_bucket: S3, use_environment: UseEnvironment) -> Iterator[FaultProxy]:
    """A proxy before a bucket with the objects `1.jpg` and `2.jpg`."""
    moto_bucket.put({"1.jpg": b"first", "2.jpg": b"second"})
    with fault_proxy.before(moto_bucket.endpoint) as found:
        use_environment({"AWS_ENDPOINT_URL_S3": found.endpoint})
        yield found


def reference(s3: S3, key: str) -> Reference:
    return Reference(image_id=key, uri=s3.uri(key))


@pytest.mark.parametrize(("cores", "threads"), [(1, 16), (2, 16), (4, 16), (6, 32), (16, 80), (192, 128)])
def test_objects_at_once_on_a_machine(cores: int, threads: int) -> None:
    assert reader_threads(cores) == threads


def test_an_object_that_does_not_come_is_a_failure_while_others_do(moto_bucket: S3, proxy: FaultProxy) -> None:
    reader = S3Reader(threading.Event())
    reader.patience = aws.Patience(threading.Event(), 1)
    proxy.choose = always(SLOW_DOWN, only="2.jpg")
    with pytest.raises(TransientError, match="did not answer: SlowDown"):
        reader.read(reference(moto_bucket, "2.jpg"))
    reader.patience = aws.Patience(threading.Event(), 2.5)  # enough for a busy machine to read the other one
    other = threading.Timer(0.3, reader.read, [reference(moto_bucket, "1.jpg")])
    other.start()
    with pytest.raises(ImageError, match="could not be read in time") as caught:
        reader.read(reference(moto_bucket, "2.jpg"))
    other.join()
    assert (caught.value.error, caught.value.transient) == ("SlowDown", True)


def test_denials_without_end_are_a_matter_of_permissions(moto_bucket: S3, proxy: FaultProxy) -> None:
    proxy.choose = always(fault_proxy.DENIED)
    reader = S3Reader(threading.Event())
    for _ in range(19):
        with pytest.raises(ImageError, match="s3:GetObject") as caught:
            reader.read(reference(moto_bucket, "1.jpg"))
        assert caught.value.error == DENIED
    with pytest.raises(ConfigurationError, match=r"first 20 images of .*s3:GetObject"):
        reader.read(reference(moto_bucket, "1.jpg"))


def test_a_stop_ends_the_waiting_for_a_broken_network(moto_bucket: S3, proxy: FaultProxy) -> None:
    stopping = threading.Event()
    reader = S3Reader(stopping)
    for _ in range(2):
        assert reader.read(reference(moto_bucket, "1.jpg")).data == b"first"
    proxy.choose = always(RESET)
    threading.Timer(0.5, stopping.set).start()
    began = time.monotonic()
    with pytest.raises(TransientError, match="did not answer"):
        reader.read(reference(moto_bucket, "1.jpg"))
    assert time.monotonic() - began < 20
