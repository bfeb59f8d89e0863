"""Images on web servers: few attempts, bounded sizes and redirects, and no addresses of one's own network."""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import threading
import time
from contextlib import closing
from dataclasses import replace
from urllib.parse import urlsplit

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, MaxRetryError, NameResolutionError

from embedder.errors import ImageError, TransientError
from embedder.records import Reference, Sample
from embedder.sources import Reader, Selection
from embedder.system import aws

READERS = 16
"""Requests at once, over all servers."""

MOST_BYTES = 64 << 20
"""Of one image."""

MOST_SECONDS = 60.0
"""For one answer, however slowly it comes."""

PATIENCE_SECONDS = 10.0
"""How long a request is repeated. A list of addresses of the web always has dead servers among them."""

REDIRECTS = 5

SILENT_LIMIT = 50
"""If so many addresses in a row get no answer at all, the network is broken and not the servers."""

PIECE = 1 << 16

AGENT = "embedder"


class PrivateAddressError(Exception):
    """The address is of this machine or of its network."""


class PublicHTTP(HTTPConnection):
    """A connection that is closed before anything is sent if it has led to a private address.

    The address that was reached is looked at, and not the name: between two look-ups a name may change its address.
    """

    def _new_conn(self) -> socket.socket:
        return _public(super()._new_conn())


class PublicHTTPS(HTTPSConnection):
    """The same with TLS."""

    def _new_conn(self) -> socket.socket:
        return _public(super()._new_conn())


class PublicHTTPPool(urllib3.HTTPConnectionPool):
    ConnectionCls = PublicHTTP


class PublicHTTPSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = PublicHTTPS


def _public(connected: socket.socket) -> socket.socket:
    address = ipaddress.ip_address(connected.getpeername()[0].partition("%")[0])
    address = getattr(address, "ipv4_mapped", None) or address
    if not address.is_global or address.is_multicast:
        connected.close()
        raise PrivateAddressError(str(address))
    return connected


class AnswerError(ConnectionError):
    """A server that may answer otherwise soon."""

    def __init__(self, status: int) -> None:
        super().__init__(f"the server answered with status {status}")
        self.status = status


class WebReader:
    """Reads `http://` and `https://` addresses; see `Reader`. Proxies are not used.

    Args:
        stopping: when set, waiting for a server ends.
        allow_private: whether addresses of this machine and its network may be read.
    """

    remote = True
    readers = READERS

    def __init__(
        self, stopping: threading.Event, *, allow_private: bool = False, patience: float = PATIENCE_SECONDS
    ) -> None:
        self.pool = urllib3.PoolManager(
            num_pools=4 * READERS,
            maxsize=READERS,
            headers={"User-Agent": AGENT, "Accept": "image/*,*/*;q=0.5", "Accept-Encoding": "identity"},
            timeout=urllib3.Timeout(connect=aws.CONNECT_TIMEOUT, read=aws.READ_TIMEOUT),
            retries=urllib3.Retry(total=None, connect=0, read=0, status=0, other=0, redirect=REDIRECTS),
        )
        if not allow_private:
            self.pool.pool_classes_by_scheme = {"http": PublicHTTPPool, "https": PublicHTTPSPool}
        self.stopping = stopping
        self.patience = aws.Patience(stopping, patience)
        self.silent = 0
        self.counting = threading.Lock()

    def read(self, reference: Reference) -> Sample:
        """Return an image's bytes; the reference's ETag is their MD5.

        Raises:
            ImageError: this address cannot be read, others can.
            TransientError: none of the last addresses got an answer.
        """
        try:
            data = self.patience.call(self._get, reference.uri)
        except PrivateAddressError as error:
            message = f"its server is {error}, an address of this machine or its network; use --allow-private"
            raise ImageError("PrivateAddress", message) from error
        except AnswerError as error:
            self._heard(True)
            raise ImageError("ServerError", f"{error}", transient=True) from error
        except (HTTPError, ConnectionError, TimeoutError) as error:
            raise self._explain(error, reference.uri) from error
        except ImageError:
            self._heard(True)
            raise
        self._heard(True)
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        return Sample(reference=replace(reference, etag=etag, size=len(data)), data=data)

    def _get(self, uri: str) -> bytes:
        """Return the bytes, in one attempt."""
        until = time.monotonic() + MOST_SECONDS
        try:
            answer = self.pool.request("GET", uri, preload_content=False, redirect=True)
        except MaxRetryError as error:
            if error.reason and "redirect" in str(error.reason):
                raise ImageError("Redirected", f"more than {REDIRECTS} redirects") from error
            raise error.reason or error from error
        except (urllib3.exceptions.LocationValueError, UnicodeError) as error:
            raise ImageError("BadAddress", f"{uri!r} is no address: {error}") from error
        with closing(answer):
            _judge(answer.status)
            stated = answer.headers.get("Content-Length", "")
            if stated.isdecimal() and int(stated) > MOST_BYTES:
                raise ImageError("TooLarge", f"{int(stated):,} bytes; an image may have {MOST_BYTES:,}")
            data = bytearray()
            while piece := answer.read1(PIECE):
                data += piece
                if len(data) > MOST_BYTES:
                    raise ImageError("TooLarge", f"more than the {MOST_BYTES:,} bytes that an image may have")
                if time.monotonic() > until or self.stopping.is_set():
                    raise TimeoutError(f"the image did not come within {MOST_SECONDS:.0f} seconds")
            if stated.isdecimal() and int(stated) != len(data):
                raise ConnectionError(f"the answer ended after {len(data)} of its {stated} bytes")
            return bytes(data)

    def _heard(self, answered: bool) -> int:
        with self.counting:
            self.silent = 0 if answered else self.silent + 1
            return self.silent

    def _explain(self, error: Exception, uri: str) -> Exception:
        host = urlsplit(uri).hostname
        if self._heard(False) >= SILENT_LIMIT:
            return TransientError(f"none of the last {SILENT_LIMIT} addresses answered, the last of {host}: {error}")
        if isinstance(error, NameResolutionError):
            return ImageError("NoSuchHost", f"there is no server {host}, or its name cannot be looked up")
        return ImageError("NoAnswer", f"{host} could not be read in time: {error}", transient=True)

    def close(self) -> None:
        self.pool.clear()


def web_readers(selection: Selection, stopping: threading.Event) -> dict[str, Reader]:
    """Return the reader of both kinds of web addresses, by their schemes."""
    return dict.fromkeys(("http", "https"), WebReader(stopping, allow_private=selection.allow_private))


def _judge(status: int) -> None:
    """Raise unless an answer has this status because it holds the image."""
    if status == 200:
        return
    if status in (404, 410):
        raise ImageError("NotFound", f"the server has no such image (status {status})")
    if status in (401, 403, 451):
        raise ImageError("Forbidden", f"the server does not hand the image out (status {status})")
    if status in (408, 425, 429) or status >= 500:
        raise AnswerError(status)
    raise ImageError("BadAnswer", f"the server answered with status {status} and not with the image")
