"""Writing vectors to a file that other tools open: `.npz`, `.npy`, `.parquet`, `.arrow` or `.csv`."""

from __future__ import annotations

import csv
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import numpy as np

from embedder.errors import ConfigurationError
from embedder.records import Vectors
from embedder.stores import Store, open_store
from embedder.system.files import check_folder, temporary_file, writing
from embedder.system.steps import step
from embedder.vectors.reader import Spilled, batches, spill

ROW_GROUP = 32_768
"""Vectors in a row group of a parquet file, or a batch of an Arrow file: 64 megabytes of 512 float32."""
DIGITS = {2: "%.5g", 4: "%.9g", 8: "%.17g"}
"""How a float is written, by its bytes, so that it is the same float when it is read."""
NEED_PYARROW = (".parquet", ".arrow", ".feather")


def check_target(path: Path) -> None:
    """Find out, before anything is read, whether vectors can be written there.

    Raises:
        ConfigurationError: the kind of file is unknown, its folder does not exist, or pyarrow is not installed.
    """
    if path.suffix not in WRITERS:
        raise ConfigurationError(f"--out {path}: expected a name that ends with {', '.join(WRITERS)}")
    check_folder(path, f"--out {path}")
    if path.suffix in NEED_PYARROW:
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise ConfigurationError(f"--out {path} needs pyarrow: pip install '.[parquet]', or write .npz") from None


def write_vectors(
    path: Path, store: str, ids: Iterable[str] | None, *, prefix: str = "", fingerprint: str | None = None
) -> tuple[list[str], int]:
    """Write a store's ids and vectors to a file that appears when it is complete, in bounded memory.

    `.npz` holds the arrays `ids` and `vectors`, (n, dimension); `.npy` the vectors alone; `.parquet`, `.arrow` and
    `.feather`, which is the same as `.arrow`, the columns `ImageId` and `Vector`, a fixed-size list; `.csv` the columns
    `ImageId` and one for each number. A store has an order of its own, so the vectors first go to a temporary
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
        with step(f"writing {path.name}"):
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
    import pyarrow.parquet

    with pyarrow.parquet.ParquetWriter(path, _schema(vectors)) as writer:
        for batch in _record_batches(vectors):
            writer.write_batch(batch)


def _write_arrow(path: Path, vectors: Spilled) -> None:
    import pyarrow

    with pyarrow.ipc.new_file(path, _schema(vectors)) as writer:
        for batch in _record_batches(vectors):
            writer.write_batch(batch)


def _schema(vectors: Spilled) -> Any:
    import pyarrow

    row = pyarrow.list_(pyarrow.from_numpy_dtype(vectors.data_type), max(vectors.dimension, 1))
    return pyarrow.schema({"ImageId": pyarrow.string(), "Vector": row})


def _record_batches(vectors: Spilled) -> Iterator[Any]:
    import pyarrow

    schema = _schema(vectors)
    for number, chunk in enumerate(vectors.chunks(ROW_GROUP)):
        ids = vectors.ids[number * ROW_GROUP : (number + 1) * ROW_GROUP]
        rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(chunk.reshape(-1)), type=schema.field(1).type)
        yield pyarrow.record_batch([pyarrow.array(ids, pyarrow.string()), rows], schema=schema)


def _write_csv(path: Path, vectors: Spilled) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow(["ImageId", *range(vectors.dimension)])
        form = number_format(vectors.data_type, vectors.dimension, ",") + "\r\n"
        ids = iter(vectors.ids)
        for chunk in vectors.chunks():
            for vector in chunk.tolist():
                file.write(f"{_quoted(next(ids))},{form % tuple(vector)}")


def number_format(data_type: np.dtype[Any], dimension: int, separator: str) -> str:
    """Return the format of a vector as text, whose numbers give those of its dtype again when they are read."""
    return separator.join([DIGITS.get(data_type.itemsize, "%r") if data_type.kind == "f" else "%d"] * dimension)


def text_rows(
    store: Store, ids: Iterable[str] | None, *, prefix: str = "", fingerprint: str | None = None
) -> Iterator[tuple[str, str, str]]:
    """Yield each vector's id, its kind (`512 x float32`) and its numbers, separated by tabs, in bounded memory.

    Those of `ids` come in their order, which takes a temporary file; without ids, all come in the store's order.
    """
    if ids is None:
        found = batches(store, prefix=prefix, fingerprint=fingerprint)
    else:
        found = _asked(store, ids, prefix, fingerprint)
    for names, vectors in found:
        kind = f"{vectors.shape[1]} x {vectors.dtype}"
        form = number_format(vectors.dtype, vectors.shape[1], "\t")
        for name, vector in zip(names, vectors.tolist(), strict=True):
            yield name, kind, form % tuple(vector)


def _asked(
    store: Store, ids: Iterable[str], prefix: str, fingerprint: str | None
) -> Iterator[tuple[list[str], Vectors]]:
    with temporary_file("the vectors that were asked for") as file:
        spilled = spill(store, ids, file, prefix=prefix, fingerprint=fingerprint)
        names = iter(spilled.ids)
        for chunk in spilled.chunks():
            yield [next(names) for _ in chunk], chunk


def _quoted(text: str) -> str:
    """Return a text as a value of a CSV file."""
    doubled = text.replace('"', '""')
    return f'"{doubled}"' if any(each in text for each in ',"\r\n') else text


WRITERS: dict[str, Callable[[Path, Spilled], None]] = {
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".parquet": _write_parquet,
    ".arrow": _write_arrow,
    ".feather": _write_arrow,
    ".csv": _write_csv,
}
