"""Vectors to a file that other tools open: `.npz`, `.npy` or `.parquet`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from embedder.atomic import writing
from embedder.errors import ConfigurationError
from embedder.records import Vectors


def check_target(path: Path) -> None:
    """Find out, before anything is read, whether vectors can be written there.

    Raises:
        ConfigurationError: the kind of file is unknown, its folder is missing, or pyarrow is.
    """
    if path.suffix not in WRITERS:
        raise ConfigurationError(f"--out {path}: expected a name that ends with {', '.join(WRITERS)}")
    if not path.parent.is_dir():
        raise ConfigurationError(f"--out {path}: there is no folder {path.parent}; make it first")
    if path.suffix == ".parquet":
        try:
            import pyarrow  # noqa: F401
        except ImportError:
            raise ConfigurationError(f"--out {path} needs pyarrow: pip install '.[parquet]', or write .npz") from None


def write_vectors(path: Path, ids: Sequence[str], vectors: Vectors) -> None:
    """Write ids and vectors, (n, dimension), to a file that appears when it is complete.

    `.npz` holds the arrays `ids` and `vectors`; `.npy` the vectors alone; `.parquet` the columns
    `ImageId` and `Vector`, a fixed-size list.

    Raises:
        ConfigurationError: the file cannot be written there.
        TransientError: the disk is full.
    """
    with writing(path) as part:
        WRITERS[path.suffix](part, ids, vectors)


def _write_npz(path: Path, ids: Sequence[str], vectors: Vectors) -> None:
    with path.open("wb") as file:
        np.savez(file, ids=np.array(ids, dtype=np.str_), vectors=vectors)


def _write_npy(path: Path, _ids: Sequence[str], vectors: Vectors) -> None:
    with path.open("wb") as file:
        np.save(file, vectors)


def _write_parquet(path: Path, ids: Sequence[str], vectors: Vectors) -> None:
    import pyarrow
    import pyarrow.parquet

    numbers = pyarrow.array(vectors.reshape(-1))
    rows = pyarrow.FixedSizeListArray.from_arrays(numbers, max(vectors.shape[1], 1))
    table = pyarrow.table({"ImageId": pyarrow.array(ids, pyarrow.string()), "Vector": rows})
    pyarrow.parquet.write_table(table, path)


WRITERS: dict[str, Callable[[Path, Sequence[str], Vectors], None]] = {
    ".npz": _write_npz,
    ".npy": _write_npy,
    ".parquet": _write_parquet,
}
