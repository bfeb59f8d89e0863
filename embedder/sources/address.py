"""Where the objects of a bucket are, and signed requests for them."""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from botocore.awsrequest import AWSPreparedRequest
    from botocore.credentials import ReadOnlyCredentials

DEFAULT_PORTS = {"http": ":80", "https": ":443"}

AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=\S+?/\d{8}/([^/]+/[^/]+/aws4_request), ")

KEPT_HEADERS = frozenset({"user-agent", "x-amz-checksum-mode", "x-amz-content-sha256"})
"""Headers that are the same in every GetObject request of a client."""

OTHER_HEADERS = frozenset(
    {"host", "x-amz-date", "x-amz-security-token", "authorization", "amz-sdk-invocation-id", "amz-sdk-request"}
)
"""Headers that are written anew. The last two identify an attempt of boto3's, so requests past it lack them."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where botocore found the objects of a bucket, and how it signs requests for them.

    botocore works this out anew for every request, which takes five times as long as the request itself. It does not
    change from object to object, so one request shows it for all.
    """

    scheme: str
    host: str
    """With its port, unless that is the scheme's own."""
    root: str
    """What stands before the key in a path: `/`, or `/BUCKET/`."""
    scope: str
    """What a signature is for, after its date: `REGION/s3/aws4_request`."""
    kept: tuple[tuple[str, str], ...]
    """Headers that every request has."""

    @classmethod
    def of(cls, request: AWSPreparedRequest, key: str, credentials: ReadOnlyCredentials) -> Address | None:
        """Return the address that a request of boto3's for `key` was sent to.

        Returns:
            None if this class would not have sent exactly the same request: then the bucket, or the way it is
            accessed, needs something that only boto3 knows (another kind of signature, a header, a query).
        """
        url = urlsplit(request.url)
        headers = {name.lower(): _text(value) for name, value in request.headers.items()}
        authorization = headers.get("authorization", "")
        signed = AUTHORIZATION.match(authorization)
        encoded = _encode(key)
        if not signed or url.query or not url.path.endswith(encoded) or headers.keys() - KEPT_HEADERS - OTHER_HEADERS:
            return None
        found = cls(
            scheme=url.scheme,
            host=url.netloc.lower().removesuffix(DEFAULT_PORTS[url.scheme]),
            root=url.path.removesuffix(encoded),
            scope=signed[1],
            kept=tuple((name, value) for name, value in headers.items() if name in KEPT_HEADERS),
        )
        ours = found.headers(key, credentials, headers.get("x-amz-date", ""))
        return found if ours["authorization"] == authorization else None

    def path(self, key: str) -> str:
        """Return the path of an object, every byte of the key percent-encoded that has to be."""
        return self.root + _encode(key)

    def headers(self, key: str, credentials: ReadOnlyCredentials, date: str = "") -> dict[str, str]:
        """Return the headers of a GET request for an object, signed with AWS Signature Version 4.

        Args:
            date: of the signature, `YYYYMMDDTHHMMSSZ`; now if empty.
        """
        date = date or time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        headers = {"host": self.host, **dict(self.kept), "x-amz-date": date}
        if credentials.token:
            headers["x-amz-security-token"] = credentials.token
        signed = sorted(name for name in headers if name == "host" or name.startswith("x-amz-"))
        names = ";".join(signed)
        request = "\n".join(
            (
                "GET",
                self.path(key),
                "",  # no query
                *(f"{name}:{headers[name]}" for name in signed),
                "",
                names,
                headers["x-amz-content-sha256"],
            )
        )
        scope = f"{date[:8]}/{self.scope}"
        digest = hashlib.sha256(request.encode()).hexdigest()
        text = f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}"
        signature = hmac.digest(_signing_key(credentials.secret_key, scope), text.encode(), "sha256").hex()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={credentials.access_key}/{scope}, SignedHeaders={names}, "
            f"Signature={signature}"
        )
        return headers


@lru_cache(maxsize=8)
def _signing_key(secret: str, scope: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _encode(key: str) -> str:
    return quote(key, safe="/~")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value
