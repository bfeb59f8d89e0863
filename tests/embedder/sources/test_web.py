"""Web servers as they are: dead, slow, endless, moved, and within one's own network."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator

import pytest

from embedder.errors import ImageError, TransientError
from embedder.records import Reference
from embedder.sources.web import SILENT_LIMIT, WebReader
from tests.embedder.pictures import jpeg
from tests.embedder.web_server import Server, web_server
from tests.parts.server import free_port


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with web_server() as found:
        yield found


@pytest.fixture
def reader() -> WebReader:
    return WebReader(threading.Event(), allow_private=True, patience=0.5)


def ask(uri: str) -> Reference:
    return Reference(image_id="a", uri=uri)


def test_an_image_has_its_md5_as_its_etag(server: Server, reader: WebReader) -> None:
    sample = reader.read(ask(f"{server.url}/3.jpg"))
    assert (sample.data, sample.reference.etag) == (jpeg(3), hashlib.md5(jpeg(3)).hexdigest())
    assert sample.reference.size == len(jpeg(3))


def test_a_server_that_is_down_for_a_moment_is_asked_again(server: Server, reader: WebReader) -> None:
    assert reader.read(ask(f"{server.url}/once/1")).data == jpeg(5)
    assert server.asked["/once/1"] == 2


def test_redirects_are_followed(server: Server, reader: WebReader) -> None:
    assert reader.read(ask(f"{server.url}/to//4.jpg")).data == jpeg(4)


@pytest.mark.parametrize(
    ("path", "error", "transient"),
    [
        ("status/404", "NotFound", False),
        ("status/410", "NotFound", False),
        ("status/403", "Forbidden", False),
        ("status/204", "BadAnswer", False),
        ("status/418", "BadAnswer", False),
        ("status/429", "ServerError", True),
        ("status/500", "ServerError", True),
        ("loop", "Redirected", False),
        ("to/ftp://example.org/a.jpg", "BadAddress", False),
        ("huge", "TooLarge", False),
        ("endless", "TooLarge", False),
        ("cut", "NoAnswer", True),
    ],
)
def test_answers_that_are_no_image(server: Server, reader: WebReader, path: str, error: str, transient: bool) -> None:
    with pytest.raises(ImageError) as caught:
        reader.read(ask(f"{server.url}/{path}"))
    assert (caught.value.error, caught.value.transient) == (error, transient)


@pytest.mark.parametrize("uri", ["https:///a.jpg", "https://[a/b.jpg", "https://a b/c.jpg", "https://host:port/"])
def test_what_is_no_address(reader: WebReader, uri: str) -> None:
    with pytest.raises(ImageError) as caught:
        reader.read(ask(uri))
    assert caught.value.error in ("BadAddress", "NoSuchHost")


def test_private_addresses_are_refused_before_anything_is_sent(server: Server) -> None:
    reader = WebReader(threading.Event(), patience=0.5)
    port = server.url.rpartition(":")[2]
    before = sum(server.asked.values())
    for host in ("127.0.0.1", "localhost", "127.1", "0.0.0.0"):
        for scheme in ("http", "https"):
            with pytest.raises(ImageError) as caught:
                reader.read(ask(f"{scheme}://{host}:{port}/1.jpg"))
            assert (caught.value.error, "--allow-private" in caught.value.message) == ("PrivateAddress", True)
    assert sum(server.asked.values()) == before


def test_nobody_answering_is_a_broken_network_and_one_dead_server_is_not(server: Server) -> None:
    reader = WebReader(threading.Event(), allow_private=True, patience=0.01)
    dead = ask(f"http://127.0.0.1:{free_port()}/1.jpg")
    for _ in range(SILENT_LIMIT - 1):
        with pytest.raises(ImageError) as caught:
            reader.read(dead)
        assert (caught.value.error, caught.value.transient) == ("NoAnswer", True)
    with pytest.raises(TransientError, match="none of the last 50 addresses"):
        reader.read(dead)
    reader.read(ask(f"{server.url}/1.jpg"))
    with pytest.raises(ImageError):
        reader.read(dead)


def test_a_stop_ends_what_drips(server: Server) -> None:
    stopping = threading.Event()
    reader = WebReader(stopping, allow_private=True)
    threading.Timer(0.3, stopping.set).start()
    began = time.monotonic()
    with pytest.raises(ImageError):
        reader.read(ask(f"{server.url}/drip"))
    assert time.monotonic() - began < 10
