"""Files that every spreadsheet opens: `.csv`."""

from __future__ import annotations

import csv
from pathlib import Path

from embedder.exports.text import number_format
from embedder.records import METADATA_ATTRIBUTES
from embedder.vectors.reader import Spilled


def write_csv(path: Path, vectors: Spilled) -> None:
    """Write the columns `ImageId`, one for each number, and those of the metadata, if any vector has some."""
    names = [each.name for each in METADATA_ATTRIBUTES] if vectors.metadata else []
    nothing = (None,) * len(names)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerow(["ImageId", *range(vectors.dimension), *names])
        form = number_format(vectors.data_type, vectors.dimension, ",")
        ids = iter(vectors.ids)
        for chunk in vectors.chunks():
            for vector in chunk.tolist():
                image_id = next(ids)
                values = ("" if each is None else str(each) for each in vectors.metadata.get(image_id, nothing))
                file.write(",".join([_quoted(image_id), form % tuple(vector), *map(_quoted, values)]) + "\r\n")


def _quoted(text: str) -> str:
    """Return a text as a value of a CSV file."""
    doubled = text.replace('"', '""')
    return f'"{doubled}"' if any(each in text for each in ',"\r\n') else text
