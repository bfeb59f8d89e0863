"""Writing vectors to a file that other tools open; it appears when it is complete."""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

from embedder.exports import Exported, Wanted, Writer
from embedder.stores import open_store
from embedder.system.doors import behind
from embedder.system.files import check_folder, writing
from embedder.system.steps import step
from embedder.terminal.screen import counted
from embedder.vectors.reader import spill


class FileTarget:
    """A file to be written; see `Target`.

    Raises:
        ConfigurationError: its folder does not exist, or what writes it is not installed.
    """

    def __init__(self, writer: str | Writer, path: Path) -> None:
        check_folder(path, f"--out {path}")
        self.writer = behind(writer)
        self.path = path

    def __call__(self, wanted: Wanted) -> Exported:
        """Write ids and vectors in bounded memory.

        A store has an order of its own, so the vectors first go to a temporary file beside the path, which takes as
        much space again.

        Raises:
            ConfigurationError: the file cannot be written, there is no such store, or its vectors are of several kinds.
            TransientError: the disk is full, or the store does not answer.
        """
        with (
            closing(open_store(wanted.store, must_exist=True)) as opened,
            writing(self.path, "--out") as part,
            tempfile.TemporaryFile(dir=self.path.parent) as file,
        ):
            vectors = spill(
                opened, wanted.ids, file, prefix=wanted.prefix, fingerprint=wanted.fingerprint, metadata=True
            )
            with step(f"writing {self.path.name}"):
                self.writer(part, vectors)
        count = counted(len(vectors.ids), "vector")
        return Exported(
            summary=f"{count} of dimension {vectors.dimension} in {self.path}", found=vectors.ids, path=self.path
        )
