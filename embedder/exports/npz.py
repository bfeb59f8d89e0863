"""Files that numpy loads: `.npz` and `.npy`."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import IO

import numpy as np

from embedder.vectors.reader import Spilled


def write_npz(path: Path, vectors: Spilled) -> None:
    """Write the arrays `ids` and `vectors`, (n, dimension)."""
    with zipfile.ZipFile(path, "w") as archive:
        with archive.open("ids.npy", "w", force_zip64=True) as file:
            np.lib.format.write_array(file, np.array(vectors.ids, dtype=np.str_), allow_pickle=False)
        with archive.open("vectors.npy", "w", force_zip64=True) as file:
            _stream(file, vectors)


def write_npy(path: Path, vectors: Spilled) -> None:
    """Write the vectors alone, (n, dimension)."""
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
