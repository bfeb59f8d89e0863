"""Objects that other processes read: the same bytes and the same errors, and no process that is left."""

from __future__ import annotations

import gc
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from embedder import sources
from embedder.errors import ConfigurationError, ImageError, TransientError
from embedder.records import Reference
from embedder.sources import DENIED
from embedder.sources import bucket as bucket_module
from embedder.sources.bucket import S3Reader
from embedder.sources.fetchers import Fetchers
from embedder.sources.objects import get_object
from tests.cli import ROOT
from tests.embedder.conftest import UseEnvironment
from tests.parts import fault_proxy
from tests.parts.fault_proxy import BLACK_HOLE, RESET, Fault, always
from tests.parts.s3 import S3

Open = Callable[..., Fetchers]


@pytest.fixture
def open_fetchers() -> Iterator[Open]:
    """Start processes, which are ended after the test."""
    opened: list[Fetchers] = []

    def start(processes: int = 2, lines: int = 3, patience: float = 60) -> Fetchers:
        found = Fetchers(processes, lines, stopping=threading.Event(), patience=patience)
        opened.append(found)
        found.start()
        return found

    yield start
    for each in opened:
        each.close()


def others(of: Fetchers) -> list[int]:
    return [each.child.pid for each in of.started]


def reference(s3: S3, key: str) -> Reference:
    return Reference(image_id=key, uri=s3.uri(key))


def test_bytes_and_etags_are_those_of_the_object(bucket: S3, open_fetchers: Open) -> None:
    objects = {f"i/{number} 🐈&?.jpg": os.urandom(number * 50_000) for number in range(8)}
    bucket.put(objects)
    fetchers = open_fetchers()
    with ThreadPoolExecutor(6) as executor:
        found = list(executor.map(lambda key: fetchers.get(bucket.bucket, key), objects))
    client = bucket.client()
    etags = [client.head_object(Bucket=bucket.bucket, Key=key)["ETag"].strip('"') for key in objects]
    assert found == list(zip(objects.values(), etags, strict=True))


def test_who_finds_no_line_free_reads_for_itself(moto_bucket: S3, open_fetchers: Open) -> None:
    moto_bucket.put({"1.jpg": b"x"})
    fetchers = open_fetchers(processes=1, lines=2)
    line = fetchers.free.get()
    assert fetchers.get(moto_bucket.bucket, "1.jpg") is not None
    other = fetchers.free.get()
    assert fetchers.get(moto_bucket.bucket, "1.jpg") is None
    fetchers.free.put(line)
    fetchers.free.put(other)
    assert fetchers.get(moto_bucket.bucket, "1.jpg") is not None
    assert open_fetchers(processes=0).get(moto_bucket.bucket, "1.jpg") is None


def test_errors_cross_as_they_are(moto_bucket: S3, open_fetchers: Open) -> None:
    fetchers = open_fetchers(processes=1, lines=1)
    with pytest.raises(ImageError, match="there is no such object any more") as missing:
        fetchers.get(moto_bucket.bucket, "gone.jpg")
    assert (missing.value.error, missing.value.transient) == ("NotFound", False)
    with pytest.raises(ConfigurationError, match="there is no bucket not-there-at-all"):
        fetchers.get("not-there-at-all", "1.jpg")
    moto_bucket.put({"1.jpg": b"x"})
    assert fetchers.get(moto_bucket.bucket, "1.jpg") is not None, "an error costs the line nothing"


def test_refusals_keep_their_meaning(moto_bucket: S3, use_environment: UseEnvironment, open_fetchers: Open) -> None:
    with fault_proxy.before(moto_bucket.endpoint) as proxy:
        use_environment({"AWS_ENDPOINT_URL_S3": proxy.endpoint})
        fetchers = open_fetchers(processes=1)
        proxy.choose = always(fault_proxy.DENIED)
        with pytest.raises(ImageError, match="access denied") as caught:
            fetchers.get(moto_bucket.bucket, "1.jpg")
        proxy.choose = always(fault_proxy.EXPIRED)
        with pytest.raises(ConfigurationError, match="does not accept these AWS credentials"):
            fetchers.get(moto_bucket.bucket, "1.jpg")
    assert caught.value.error == DENIED


def test_what_is_cut_is_read_again_and_what_never_comes_is_passing(
    s3_rclone: S3, use_environment: UseEnvironment, open_fetchers: Open
) -> None:
    s3_rclone.put({"1.jpg": bytes(50_000)})
    with fault_proxy.before(s3_rclone.endpoint) as proxy:
        use_environment(s3_rclone.environment() | {"AWS_ENDPOINT_URL_S3": proxy.endpoint})
        fetchers = open_fetchers(processes=1, patience=2)
        proxy.choose = fault_proxy.at_first(2, Fault(cut=20_000), only="GET")
        found = fetchers.get(s3_rclone.bucket, "1.jpg")
        assert found is not None
        assert found[0] == bytes(50_000)
        proxy.choose = always(RESET)
        with pytest.raises(ImageError, match="could not be read in time") as caught:
            fetchers.get(s3_rclone.bucket, "1.jpg")
    assert caught.value.transient


def test_a_stop_ends_the_waiting_for_a_broken_network(
    moto_bucket: S3, use_environment: UseEnvironment, open_fetchers: Open
) -> None:
    moto_bucket.put({"1.jpg": b"x"})
    with fault_proxy.before(moto_bucket.endpoint) as proxy:
        use_environment({"AWS_ENDPOINT_URL_S3": proxy.endpoint})
        fetchers = open_fetchers(processes=1)
        proxy.choose = always(RESET)
        threading.Timer(1, fetchers.stopping.set).start()
        began = time.monotonic()
        with pytest.raises(ImageError, match="could not be read in time"):
            fetchers.get(moto_bucket.bucket, "1.jpg")
    assert time.monotonic() - began < 20


def test_a_process_that_dies_costs_nothing_but_itself(
    moto_bucket: S3, open_fetchers: Open, caplog: pytest.LogCaptureFixture
) -> None:
    moto_bucket.put({"1.jpg": b"x"})
    fetchers = open_fetchers(processes=2, lines=2)
    first, second = others(fetchers)
    os.kill(first, signal.SIGKILL)
    with caplog.at_level(logging.WARNING, "embedder"):
        found = [fetchers.get(moto_bucket.bucket, "1.jpg") for _ in range(8)]
    assert sum(each is None for each in found) == 2, "each of its lines is tried once, and then its caller reads"
    assert [each[0] for each in found if each] == [b"x"] * 6
    assert [each.getMessage() for each in caplog.records] == [
        "a process that reads from S3 is lost (it has ended, exit code -9); going on without"
    ]
    assert psutil.pid_exists(second)


ASKING = """
[profile asking]
credential_process = sh -c 'read -r code && exit 1'
"""
EXPIRED = """
[profile expired]
credential_process = echo '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "c", \
"Expiration": "2001-01-01T00:00:00Z"}'
"""


@pytest.mark.parametrize("profile", ["asking", "expired"])
def test_credentials_that_want_somebody_are_left_to_the_caller(
    moto_bucket: S3,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    open_fetchers: Open,
    caplog: pytest.LogCaptureFixture,
    profile: str,
) -> None:
    """A process that is asked for what it has not, or meets an error that nobody expects, holds nobody up."""
    (tmp_path / "config").write_text((ASKING + EXPIRED).replace("\\\n", ""))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", profile)
    fetchers = open_fetchers(processes=1, lines=2)
    with caplog.at_level(logging.WARNING, "embedder"):
        assert [fetchers.get(moto_bucket.bucket, "1.jpg") for _ in range(3)] == [None] * 3
    assert [each.getMessage().partition(" (")[0] for each in caplog.records] == ["a process that reads from S3 is lost"]


def test_without_credentials_the_caller_reads_and_raises(
    moto_bucket: S3, monkeypatch: pytest.MonkeyPatch, open_fetchers: Open
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "no-such-profile")
    assert open_fetchers().get(moto_bucket.bucket, "1.jpg") is None


def test_a_process_that_cannot_be_started_is_done_without(
    monkeypatch: pytest.MonkeyPatch, open_fetchers: Open, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with caplog.at_level(logging.WARNING, "embedder"):
        assert open_fetchers().get("b", "1.jpg") is None
    assert "cannot be started: No such file or directory" in caplog.text


def test_closing_ends_processes_threads_and_descriptors(moto_bucket: S3, open_fetchers: Open) -> None:
    moto_bucket.put({"1.jpg": b"x"})
    here = psutil.Process()
    gc.collect()
    descriptors, threads = here.num_fds(), here.num_threads()
    fetchers = open_fetchers()
    pids = others(fetchers)
    assert fetchers.get(moto_bucket.bucket, "1.jpg") is not None
    assert len(pids) == 2
    fetchers.close()
    assert not any(map(psutil.pid_exists, pids))
    assert here.num_fds() <= descriptors
    assert here.num_threads() <= threads
    assert fetchers.get(moto_bucket.bucket, "1.jpg") is None


def test_closing_does_not_wait_for_a_black_hole(
    moto_bucket: S3, use_environment: UseEnvironment, open_fetchers: Open
) -> None:
    with fault_proxy.before(moto_bucket.endpoint) as proxy:
        use_environment({"AWS_ENDPOINT_URL_S3": proxy.endpoint})
        fetchers = open_fetchers(processes=1, lines=1)
        proxy.choose = always(BLACK_HOLE)
        with ThreadPoolExecutor(1) as executor:
            asked = executor.submit(fetchers.get, moto_bucket.bucket, "1.jpg")
            deadline = time.monotonic() + 10
            while not proxy.spoilt.total():
                assert time.monotonic() < deadline
                time.sleep(0.01)
            fetchers.close()
            with pytest.raises(RuntimeError, match="the run has ended meanwhile"):
                asked.result(timeout=10)


def alive(pid: int) -> bool:
    """Whether a process runs; nobody may be there to bury one that has ended."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


LEFT_BEHIND = """
import threading, time
from embedder.sources.fetchers import Fetchers
fetchers = Fetchers(2, 2, stopping=threading.Event(), patience=60)
fetchers.start()
print(*(each.child.pid for each in fetchers.started), flush=True)
time.sleep(60)
"""


@pytest.mark.usefixtures("moto_bucket")
def test_processes_end_with_one_that_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", LEFT_BEHIND], stdout=subprocess.PIPE, text=True, cwd=ROOT) as parent:
        assert parent.stdout is not None
        pids = [int(each) for each in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    deadline = time.monotonic() + 10
    while any(map(alive, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch, moto_bucket: S3) -> Iterator[S3Reader]:
    """A reader of a machine with six cores, which reads three objects itself."""
    del moto_bucket
    monkeypatch.setattr(sources, "usable_cores", lambda: 6)
    monkeypatch.setattr(bucket_module, "FETCHERS_FROM", 3)
    found = S3Reader(threading.Event())
    yield found
    found.close()


@pytest.mark.parametrize(
    ("cores", "processes", "readers"), [(1, 0, 16), (2, 0, 16), (4, 1, 16), (16, 5, 80), (192, 8, 128)]
)
@pytest.mark.usefixtures("moto_bucket")
def test_processes_for_a_machine(monkeypatch: pytest.MonkeyPatch, cores: int, processes: int, readers: int) -> None:
    monkeypatch.setattr(sources, "usable_cores", lambda: cores)
    found = S3Reader(threading.Event())
    assert (found.fetchers.processes, found.readers) == (processes, readers)


def test_a_reader_starts_processes_once_it_pays(
    moto_bucket: S3, reader: S3Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    moto_bucket.put({f"{number}.jpg": str(number).encode() for number in range(8)})
    own: list[str] = []

    def get_here(*arguments: Any) -> tuple[bytes, str]:
        own.append(arguments[-1])
        return get_object(*arguments)

    monkeypatch.setattr(bucket_module, "get_object", get_here)
    for number in range(8):
        assert reader.read(reference(moto_bucket, f"{number}.jpg")).data == str(number).encode()
    assert own == ["0.jpg", "1.jpg", "2.jpg"]
    assert len(reader.fetchers.started) == 2
    assert reader.readers == 32
    reader.close()
    assert reader.read(reference(moto_bucket, "7.jpg")).data == b"7"
    assert own[3:] == ["7.jpg"]


def test_what_an_error_means_is_weighed_over_all_processes(
    moto_bucket: S3, reader: S3Reader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One object that does not come is a failure while others do, and a broken network when none does."""
    moto_bucket.put({"1.jpg": b"x"})
    answer: list[Exception] = [ImageError("SlowDown", "could not be read in time: please", transient=True)]

    def get(_bucket: str, key: str) -> tuple[bytes, str]:
        if key == "1.jpg":
            return b"x", "etag"
        if key == "meanwhile.jpg":
            get(_bucket, "1.jpg")
            reader.last_success = time.monotonic()
        raise answer[0]

    monkeypatch.setattr(reader.fetchers, "get", get)
    assert reader.read(reference(moto_bucket, "1.jpg")).reference.etag == "etag"
    with pytest.raises(TransientError, match="did not answer: SlowDown"):
        reader.read(reference(moto_bucket, "2.jpg"))
    with pytest.raises(ImageError, match="could not be read in time"):
        reader.read(reference(moto_bucket, "meanwhile.jpg"))
