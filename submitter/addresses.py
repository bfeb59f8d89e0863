"""Read the addresses of images that a table in S3 lists."""

from __future__ import annotations

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, cast

from botocore.exceptions import ClientError

from submitter.address_column import address_column
from submitter.deadline import Deadline
from submitter.errors import UsageError, error_code
from submitter.manifest import Entry
from submitter.object_stream import ObjectStream
from submitter.seen import Seen
from submitter.selection import ListingTally

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CHECK_EVERY = 1000
_BLOCK = 1 << 20
_LONGEST_FIELD = 1 << 20
"""Characters of a cell; a caption beside the address may be longer than the 131,072 that Python allows."""
_DELIMITERS = {".csv": ",", ".tsv": "\t"}


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressTable:
    """A table of addresses: CSV or TSV, also compressed by gzip, with a header."""

    s3: S3Client
    uri: str
    """`s3://BUCKET/…/images.csv`."""
    bucket: str
    """The run's."""
    image_id: str = "key"
    """What identifies an image: `key` or `uri`."""

    def entries(self, tally: ListingTally, deadline: Deadline) -> Iterator[Entry]:
        """Yield an entry for each address, in the order of the rows, and count them into `tally`.

        An address that nothing reads has its entry too: the worker reports it by name.

        Raises:
            UsageError: the table cannot be read, or two of its images have the same id.
            OutOfTimeError: the deadline passed.
        """
        with Seen() as seen:
            for number, address in enumerate(self._addresses(), start=1):
                if number % _CHECK_EVERY == 0:
                    deadline.check(number)
                entry = self._entry(address) if address else None
                if entry is None:
                    tally.skipped["no_address"] += 1
                elif self._is_new(entry, seen):
                    tally.images += 1
                    yield entry
                else:
                    tally.skipped["listed_twice"] += 1

    def _is_new(self, entry: Entry, seen: Seen) -> bool:
        try:
            key, uri = entry.located(self.bucket)
        except ValueError:
            key = uri = entry.key
        before = seen.before(uri if self.image_id == "uri" else key, uri)
        if before == "other":
            raise UsageError(
                f"{uri} has the id {key!r} of another image of {self.uri}: submit with --image-id uri "
                '("ImageId": "uri"), so that the whole address is the id'
            )
        return before == "nothing"

    def _entry(self, address: str) -> Entry:
        home, _, key = self.uri.removeprefix("s3://").partition("/")
        if "://" not in address:  # a key relative to the table's folder
            address = f"s3://{home}/" + f"{key.rpartition('/')[0]}/{address}".lstrip("/")
        inside = address.removeprefix(f"s3://{self.bucket}/")
        if inside and inside != address:
            return Entry(key=inside, etag=None, size=None)
        return Entry(key=address, etag=None, size=None, kind="uri")

    def _addresses(self) -> Iterator[str]:
        bucket, _, key = self.uri.removeprefix("s3://").partition("/")
        delimiter = self._delimiter(key)
        csv.field_size_limit(_LONGEST_FIELD)
        try:
            raw = io.BufferedReader(ObjectStream(self.s3, bucket, key), _BLOCK)
        except ClientError as error:
            if error_code(error) not in {"NoSuchKey", "404"}:
                raise
            raise UsageError(f"there is no table {self.uri}") from error
        with raw:
            unpacked = cast(IO[bytes], gzip.GzipFile(fileobj=raw)) if key.lower().endswith(".gz") else raw
            # What is not UTF-8 becomes \\xNN, so that the worker can name it.
            with io.TextIOWrapper(unpacked, "utf-8-sig", errors="backslashreplace", newline="") as text:
                rows = csv.reader(text, delimiter=delimiter, strict=True)
                try:
                    at = self._column(next(rows, []))
                    for row in rows:
                        if row:  # not a blank line
                            yield row[at].strip() if at < len(row) else ""
                except (csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
                    raise UsageError(f"the table {self.uri} is damaged after line {rows.line_num}: {error}") from error

    def _delimiter(self, key: str) -> str:
        matched = re.search(r"(\.csv|\.tsv)(\.gz)?\Z", key.lower())
        if matched:
            return _DELIMITERS[matched[1]]
        if key.lower().endswith(".parquet"):
            raise UsageError(
                f"the table {self.uri} is in Parquet, which the submitter cannot read: convert it to CSV, in Python by "
                "pandas.read_parquet('FILE.parquet').to_csv('FILE.csv.gz', index=False), or let one machine read it: "
                f"embedder run {self.uri}"
            )
        raise UsageError(f"{self.uri} is not a table: expected .csv or .tsv, perhaps with .gz")

    def _column(self, header: list[str]) -> int:
        try:
            return address_column(header)
        except ValueError as error:
            raise UsageError(f"{self.uri} {error}") from None
