"""Objects read past boto3, from the address that boto3 found."""

from __future__ import annotations

import socket
import ssl
import threading
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING

from botocore import httpsession
from urllib3.util import wait_for_read

from embedder.sources.address import Address
from embedder.sources.body import Checksums, read_body
from embedder.system import aws

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from botocore.credentials import Credentials


class Shortcut:
    """Reads objects of buckets from which boto3 has read one before.

    boto3 takes 1.1 ms of processor time an object, nearly all of it under Python's lock; this takes 0.22. The shortcut
    succeeds or gives up: boto3 asks again, and judges, unless the answer is complete and its status is 200.

    Args:
        access: boto3's client, whose requests show the addresses, and the credentials that sign them.
    """

    def __init__(self, access: aws.S3Access, checksums: Checksums) -> None:
        self.access = access
        self.checksums = checksums
        self.routes: dict[str, _Route] = {}
        """By bucket."""
        self.learning = threading.Lock()
        self.thread = threading.local()
        access.client.meta.events.register("before-send.s3.GetObject", self._note)

    def get(self, bucket: str, key: str) -> tuple[bytes, str] | None:
        """Return an object's bytes and its ETag, without quotes; None if boto3 has to be asked.

        Raises:
            ConnectionError, TimeoutError, BotoCoreError: the object did not come, or came damaged.
        """
        route = self.routes.get(bucket)
        return route.get(key) if route else None

    def learn(self, bucket: str, key: str) -> None:
        """Note the address from which boto3 has just read this object, in this thread."""
        credentials = self.access.credentials
        if credentials is None or self.access.by_proxy:
            return
        address = Address.of(self.thread.request, key, credentials.get_frozen_credentials())
        with self.learning:
            known = self.routes.get(bucket)
            if address and not (known and known.address == address):
                self.routes[bucket] = _Route(address, credentials, self.access.certificates, self.checksums)

    def close(self) -> None:
        """Close the connections that are not in use. Reading again opens new ones."""
        for route in self.routes.values():
            route.close()

    def _note(self, request: AWSPreparedRequest, **_: object) -> None:
        self.thread.request = request


class _Route:
    """The address of one bucket's objects, and connections to it."""

    def __init__(self, address: Address, credentials: Credentials, certificates: str, checksums: Checksums) -> None:
        self.address = address
        self.credentials = credentials
        self.checksums = checksums
        self.idle: list[HTTPConnection] = []
        """The connection that was used last is at the end, and is used next."""
        self.tls: ssl.SSLContext | None = None
        if address.scheme == "https":
            self.tls = httpsession.create_urllib3_context()
            self.tls.load_verify_locations(certificates)
            self.tls.check_hostname = True

    def get(self, key: str) -> tuple[bytes, str] | None:
        headers = self.address.headers(key, self.credentials.get_frozen_credentials())
        try:
            connection = self._open()
            try:
                connection.request("GET", self.address.path(key), headers=headers)
                found = self._take(connection.getresponse())
            except BaseException:
                connection.close()
                raise
        except (OSError, HTTPException) as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        if found and connection.sock:
            self.idle.append(connection)
        else:
            connection.close()
        return found

    def close(self) -> None:
        idle, self.idle = self.idle, []
        for connection in idle:
            connection.close()

    def _open(self) -> HTTPConnection:
        """Return a connection that the other end has not closed."""
        while self.idle:
            with suppress(IndexError):  # another thread took the last one
                connection = self.idle.pop()
                if not wait_for_read(connection.sock, timeout=0):
                    return connection
                connection.close()
        return self._connect()

    def _connect(self) -> HTTPConnection:
        connection = (
            HTTPSConnection(self.address.host, timeout=aws.CONNECT_TIMEOUT, context=self.tls)
            if self.tls
            else HTTPConnection(self.address.host, timeout=aws.CONNECT_TIMEOUT)
        )
        connection.connect()
        connection.sock.settimeout(aws.READ_TIMEOUT)
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return connection

    def _take(self, answer: HTTPResponse) -> tuple[bytes, str] | None:
        etag = answer.getheader("ETag")
        if answer.status != 200 or answer.length is None or etag is None:
            return None
        with answer:
            data = read_body(answer.fp.readinto1, answer.length)
        self.checksums.verify(answer.headers, data)
        return data, etag.strip('"')
