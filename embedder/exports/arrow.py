"""Files of columns: `.parquet` and `.arrow`, which is also called `.feather`. They need the extra `parquet`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from embedder.errors import ConfigurationError
from embedder.records import METADATA_ATTRIBUTES
from embedder.vectors.reader import Spilled

try:
    import pyarrow
    import pyarrow.parquet
except ImportError:
    raise ConfigurationError("pyarrow is not installed: pip install '.[parquet]', or write .npz") from None

ROW_GROUP = 32_768
"""Vectors in a row group of a parquet file, or a batch of an Arrow file: 64 megabytes of 512 float32."""

TYPES = {str: pyarrow.string(), int: pyarrow.int64()}


def write_parquet(path: Path, vectors: Spilled) -> None:
    """Write the columns `ImageId`, `Vector`, a fixed-size list, and those of the metadata, if any vector has some."""
    with pyarrow.parquet.ParquetWriter(path, _schema(vectors)) as writer:
        for batch in _record_batches(vectors):
            writer.write_batch(batch)


def write_arrow(path: Path, vectors: Spilled) -> None:
    """Write the same columns as an Arrow file."""
    with pyarrow.ipc.new_file(path, _schema(vectors)) as writer:
        for batch in _record_batches(vectors):
            writer.write_batch(batch)


def _schema(vectors: Spilled) -> Any:
    row = pyarrow.list_(pyarrow.from_numpy_dtype(vectors.data_type), max(vectors.dimension, 1))
    metadata = METADATA_ATTRIBUTES if vectors.metadata else ()
    columns = [("ImageId", pyarrow.string()), ("Vector", row), *((each.name, TYPES[each.kind]) for each in metadata)]
    return pyarrow.schema(columns)


def _record_batches(vectors: Spilled) -> Iterator[Any]:
    schema = _schema(vectors)
    nothing = (None,) * len(METADATA_ATTRIBUTES)
    for number, chunk in enumerate(vectors.chunks(ROW_GROUP)):
        ids = vectors.ids[number * ROW_GROUP : (number + 1) * ROW_GROUP]
        rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(chunk.reshape(-1)), type=schema.field(1).type)
        columns = zip(*(vectors.metadata.get(each, nothing) for each in ids), strict=True) if vectors.metadata else ()
        metadata = [pyarrow.array(each, kind) for each, kind in zip(columns, schema.types[2:], strict=True)]
        yield pyarrow.record_batch([pyarrow.array(ids, pyarrow.string()), rows, *metadata], schema=schema)
