"""Writing vectors to a file that other tools open: `.npz`, `.npy` or `.parquet`."""

from __future__ import annotations

import tempfile
import zipfile
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import IO

import numpy as np

from embedder.errors import ConfigurationError
from embedder.stores import open_store
from embedder.system.files import check_folder, writing
from embedder.vectors.reader import Spilled, spill

ROW_GROUP = 32_768
"""Vectors in a row group of a parquet file: 64 megabytes of 512 float32."""


def check_target(path: Path) -> None:
    """Find out, before anything is read, whether vectors can be written there.

    Raises:
        ConfigurationError: the kind of file is unknown, its folder does not exist, or pyarrow is not installed.
    """
    if path.suffix not in WRITERS:
        raise ConfigurationError(f"--out {path}: expected a name that ends with {', '.join(WRITERS)}")
    check_folder(path, f"--out {path}")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise ConfigurationError(f"--out {path} needs pyarrow: pip install '.[parquet]', or write .npz") from None


def write_vectors(
    path: Path, store: str, ids: Iterable[str] | None, *, prefix: str = "", fingerprint: str | None = None
) -> tuple[list[str], int]:
    """Write a store's ids and vectors to a file that appears when it is complete, in bounded memory.

    `.npz` holds the arrays `ids` and `vectors`, (n, dimension); `.npy` the vectors alone; `.parquet` the columns
    `ImageId` and `Vector`, a fixed-size list. A store has an order of its own, so the vectors first go to a temporary
    file beside `path`, which takes as much space again.

    Args:
        store: the store's name; for the rest see `reader.read`.

    Returns:
        The ids, in the order of the file, and the dimension.

    Raises:
        ConfigurationError: the file cannot be written, there is no such store, or its vectors are of several kinds.
        TransientError: the disk is full, or the store does not answer.
    """
    with (
        closing(open_store(store, must_exist=True)) as opened,
        writing(path, "--out") as part,
        tempfile.TemporaryFile(dir=path.parent) as file,
    ):
        spilled = spill(opened, ids, file, prefix=prefix, fingerprint=fingerprint)
        WRITERS[path.suffix](part, spilled)
    return spilled.ids, spilled.dimension


def _write_npz(path: Path, vectors: Spilled) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("ids.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.array(vectors.ids, dtype=np.str_), allow_pickle=False)
        with archive.open("vectors.npy", "w", force_zip64=True) as file:
            _stream(file, vectors)


def _write_npy(path: Path, vectors: Spilled) -> None:
    with path.open("wb") as file:
        _stream(file, vectors)


def _stream(file: IO[bytes], vectors: Spilled) -> None:
    """Write the array, (n, dimension), as `np.save` does."""
    header = {
        "descr": np.lib.format.dtype_to_descr(vectors.data_type),
        "fortran_order": False,
        "shape": (len(vectors.ids), vectors.dimension),
    }
    np.lib.format.write_array_header_1_0(file, header)
    for chunk in vectors.chunks():
        file.write(chunk.data)


def _write_parquet(path: Path, vectors: Spilled) -> None:
    import pyarrow
    import pyarrow.parquet

    row = pyarrow.list_(pyarrow.from_numpy_dtype(vectors.data_type), max(vectors.dimension, 1))
    schema = pyarrow.schema({"ImageId": pyarrow.string(), "Vector": row})
    with pyarrow.parquet.ParquetWriter(path, schema) as writer:
        for number, chunk in enumerate(vectors.chunks(ROW_GROUP)):
            ids = vectors.ids[number * ROW_GROUP : (number + 1) * ROW_GROUP]
            rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(chunk.reshape(-1)), type=row)
            writer.write_table(pyarrow.table([pyarrow.array(ids, pyarrow.string()), rows], schema=schema))


WRITERS: dict[str, Callable[[Path, Spilled], None]] = {
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".parquet": _write_parquet,
}
