"""A table of addresses: CSV or TSV with a header, or Parquet, on a disk or in S3, of any length."""

from __future__ import annotations

import csv
import io
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from embedder.errors import ConfigurationError, ImageError
from embedder.records import Failure, Reference, Sample
from embedder.sources import READERS, S3_SCHEME, Readers, Selection
from embedder.sources.folder import FILE_SCHEME, file_uri, readable_name
from embedder.sources.naming import Seen, image_id
from embedder.sources.ranges import FileRanges, ObjectRanges, Ranges, RangesFile
from embedder.sources.reader import S3Reader, reader_threads, split_uri
from embedder.sources.shard import refuse_stems
from embedder.sources.web import web_readers
from embedder.system.cores import usable_cores
from embedder.system.doors import scheme_of
from submitter.manifest import address_column, address_key

ROWS = 1024
"""Rows of a Parquet file that are read at once."""

LONGEST_FIELD = 1 << 20
"""Characters of a field of a CSV file; a caption may be longer than the 131,072 that Python allows."""


class TableSource:
    """The images that a table names, row by row; see `Source`. An image that is named twice counts once.

    Args:
        uri: the table's own address, `file:///…` or `s3://…`.
        readers: read the images; closed with this source.
    """

    remote = True
    """Rows may name anything."""

    def __init__(self, name: str, uri: str, selection: Selection, readers: Readers) -> None:
        refuse_stems(name, selection)
        self.name = name
        self.uri = uri
        self.selection = selection
        self.places = readers
        self.readers = reader_threads(usable_cores())
        self.ignored: Counter[str] = Counter()
        self.total: int | None = None

    def references(self) -> Iterator[Reference | Failure]:
        try:
            with self._open() as file, Seen() as seen:
                for number, address in enumerate(self._addresses(file), start=1):
                    if item := self._item(number, address, seen):
                        yield item
        except ImageError as error:
            yield Failure(
                image_id=self.name, stage="list", error=error.error, message=error.message, transient=error.transient
            )

    def _open(self) -> Ranges:
        if not self.uri.startswith(S3_SCHEME):
            return FileRanges(os.fsencode(self.name))
        reader = self.places.of(self.uri)
        assert isinstance(reader, S3Reader)
        return ObjectRanges(reader, *split_uri(self.uri))

    def _addresses(self, file: Ranges) -> Iterator[str]:
        if self.name.lower().endswith(".parquet"):
            return _parquet_column(self.name, file)
        return _text_column(self.name, file, "\t" if self.name.lower().endswith(".tsv") else ",")

    def _item(self, number: int, address: str, seen: Seen) -> Reference | Failure | None:
        row = f"{self.name}, row {number}"
        if not address:
            return Failure(image_id=row, stage="list", error="BadAddress", message="the row names no image")
        try:
            key, uri = self._locate(address)
        except ValueError as error:
            return Failure(
                image_id=row, stage="list", error="BadAddress", message=f"{readable_name(address)!r}: {error}"
            )
        identity = image_id(self.selection.image_id, key=key, uri=uri)
        match seen.before(identity, uri):
            case "same":
                self.ignored["listed twice"] += 1
                return None
            case "other":
                message = f"{uri} has the id of another image of this table; use --image-id uri"
                return Failure(image_id=identity, stage="check", error="Collision", message=message)
        return Reference(image_id=identity, uri=uri)

    def _locate(self, address: str) -> tuple[str, str]:
        """Return the key and the URI of an image; raise ValueError if nothing reads such addresses."""
        readable = readable_name(address)
        if scheme_of(address) and readable != address:
            raise ValueError("the address is not UTF-8")
        match scheme_of(address):
            case "s3" | "http" | "https":
                return address_key(address), address
            case "file":
                return unquote(address.removeprefix(FILE_SCHEME)).lstrip("/"), address
            case "":
                if "\0" in address:
                    raise ValueError("a path has no NUL")
                if not self.uri.startswith(S3_SCHEME):
                    return readable, file_uri(Path(os.path.join(Path(self.name).parent, address)))
                if readable != address:
                    raise ValueError("the key is not UTF-8")
                key = f"{split_uri(self.uri)[1].rpartition('/')[0]}/{address}".lstrip("/")
                return key, f"{S3_SCHEME}{split_uri(self.uri)[0]}/{key}"
        raise ValueError("expected a path or an address with " + ", ".join(f"{each}://" for each in READERS))

    def read(self, reference: Reference) -> Sample:
        return self.places.read(reference)

    def close(self) -> None:
        self.places.close()


def open_local_table(name: str, selection: Selection, stopping: threading.Event) -> TableSource:
    """Open a table on a disk; see `Opener`."""
    return _table(
        name,
        file_uri(Path(name)),
        selection,
        Readers(stopping, web_readers(selection, stopping)),
    )


def open_s3_table(name: str, selection: Selection, stopping: threading.Event) -> TableSource:
    """Open a table in S3; see `Opener`."""
    reader = S3Reader(stopping)
    if not reader.exists(*split_uri(name), at_start=True):
        raise ConfigurationError(f"there is no table {name}")
    return _table(
        name,
        name,
        selection,
        Readers(stopping, {"s3": reader, **web_readers(selection, stopping)}),
    )


def _table(name: str, uri: str, selection: Selection, readers: Readers) -> TableSource:
    """Return a table whose columns have been looked at.

    Raises:
        ConfigurationError: it is no table, or has no column of addresses.
    """
    table = TableSource(name, uri, selection, readers)
    try:
        with table._open() as file:
            next(table._addresses(file), None)
    except ImageError as error:
        readers.close()
        raise ConfigurationError(f"{name} is not a table that can be read: {error.message}") from error
    return table


def _text_column(name: str, file: Ranges, delimiter: str) -> Iterator[str]:
    csv.field_size_limit(LONGEST_FIELD)
    with (
        io.BufferedReader(RangesFile(file), file.block) as buffer,
        io.TextIOWrapper(buffer, encoding="utf-8-sig", errors="surrogateescape", newline="") as text,
    ):
        rows = csv.reader(text, delimiter=delimiter, strict=True)
        try:
            at = _column(name, next(rows, []))
            for row in rows:
                if row:  # not a blank line
                    yield row[at].strip() if at < len(row) else ""
        except csv.Error as error:
            raise ImageError("DamagedTable", f"line {rows.line_num} cannot be read: {error}") from error


def _parquet_column(name: str, file: Ranges) -> Iterator[str]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError:
        raise ConfigurationError(f"{name}: Parquet needs pyarrow: pip install 'embedder[parquet]'") from None
    try:
        with closing(parquet.ParquetFile(io.BufferedReader(RangesFile(file), file.block), pre_buffer=False)) as table:
            names: list[str] = table.schema_arrow.names
            column = names[_column(name, names)]
            for batch in table.iter_batches(batch_size=ROWS, columns=[column]):
                values: list[Any] = batch.column(0).to_pylist()
                yield from ("" if each is None else str(each).strip() for each in values)
    except (pyarrow.ArrowException, OSError) as error:
        raise ImageError("DamagedTable", f"it is no whole Parquet file: {error}") from error


def _column(name: str, header: Sequence[str]) -> int:
    """Return which column holds addresses.

    Raises:
        ConfigurationError: none has such a name.
    """
    try:
        return address_column(header)
    except ValueError as error:
        raise ConfigurationError(f"{name} {error}") from None
