"""One page of ListObjectsV2, without the CPU time that boto3 spends on its thousand entries.

boto3 reads everything else of the answer: errors, retries, the continuation token. The handler below takes the entries
out of the answer before boto3 parses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus
from xml.etree import ElementTree

from submitter.manifest import bare_etag
from submitter.selection import S3Object

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_OBJECTS = "SubmitterObjects"
_FIRST, _LAST = b"<Contents>", b"</Contents>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Consecutive objects of a listing."""

    objects: tuple[S3Object, ...]
    token: str | None
    """Continues the listing after these objects; None at its end."""

    @property
    def keys(self) -> list[str]:
        return [each.key for each in self.objects]


def take_objects(response_dict: dict[str, Any], customized_response_dict: dict[str, Any], **_: object) -> None:
    """Parse the objects of an answer ourselves; a handler for the event `before-parse.s3.ListObjectsV2`.

    The entries of a page stand together, so what is left for boto3 is well-formed too. An answer in another form is
    left to boto3 as it is.
    """
    body: bytes = response_dict["body"]
    start, end = body.find(_FIRST), body.rfind(_LAST)
    if response_dict["status_code"] != 200 or start < 0 or end < start:
        return
    end += len(_LAST)
    encoded = b"<EncodingType>url</EncodingType>" in body[:start] + body[end:]
    # S3's own answer to a signed request; expat refuses entities that expand without end.
    entries = ElementTree.fromstring(b"<Page>" + body[start:end] + b"</Page>")  # noqa: S314
    customized_response_dict[_OBJECTS] = tuple(_parsed(entry, encoded) for entry in entries if entry.tag == "Contents")
    if len(customized_response_dict[_OBJECTS]) == len(entries):
        response_dict["body"] = body[:start] + body[end:]
    else:  # other elements stand between the entries
        del customized_response_dict[_OBJECTS]


def _parsed(entry: ElementTree.Element, encoded: bool) -> S3Object:
    found = {field.tag: field.text for field in entry}
    key = found["Key"] or ""
    return S3Object(
        key=unquote_plus(key) if encoded else key,
        etag=bare_etag(found.get("ETag")),
        size=int(found["Size"] or 0),
        storage_class=found.get("StorageClass") or "STANDARD",
    )


def read_page(pages: S3Client, bucket: str, prefix: str, *, size: int, **place: Any) -> Page:
    """List one page.

    Args:
        pages: a client with `take_objects` registered.
        size: the most objects in the page.
        place: where the page begins: `StartAfter` or `ContinuationToken`; without either, at the first object.
    """
    answer: Any = pages.list_objects_v2(Bucket=bucket, Prefix=prefix, MaxKeys=size, **place)
    objects = answer.get(_OBJECTS)
    if objects is None:
        objects = tuple(_converted(found) for found in answer.get("Contents", []))
    return Page(objects=objects, token=answer.get("NextContinuationToken") if answer["IsTruncated"] else None)


def _converted(found: Any) -> S3Object:
    """Return an object as boto3 parsed it, its key already decoded."""
    return S3Object(
        key=found["Key"],
        etag=bare_etag(found.get("ETag")),
        size=found["Size"],
        storage_class=found.get("StorageClass", "STANDARD"),
    )
