"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside `path` to write to; it takes the place of `path` at the end.

    Whatever is raised inside leaves `path` as it was.

    Raises:
        OSError: the name cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")  # others may write the same file
    try:
        part.open("wb").close()  # say now, and not after the work, that it cannot be written
        yield part
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
