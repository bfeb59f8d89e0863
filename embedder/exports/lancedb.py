"""A table of LanceDB, `FOLDER/TABLE.lance`. It needs the extra `lancedb`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedder.errors import ConfigurationError, TransientError
from embedder.exports import Mark
from embedder.exports.transfer import CARRIED, MARK, carried, mark_of, needed, wrong_dimension
from embedder.records import KEY, StoredVector, VectorInfo, Vectors
from embedder.system.files import check_folder, out_of_space

GROUP_BYTES = 16 << 20
"""Of numbers in one write, which makes a new version of the table."""


class LanceTable:
    """A table in the database that its folder is; see `Collection`."""

    def __init__(self, address: str) -> None:
        self.name = address
        self.path = Path(address)
        check_folder(self.path, f"--out {address}")
        self.pyarrow = needed("pyarrow", "lancedb", address)
        self.database = needed("lancedb", "lancedb", address).connect(str(self.path.parent))
        self.table: Any = None

    def fit(self, first: VectorInfo) -> int:
        wanted = self._schema(first.dimension)
        with self._sentences():
            if not self.path.exists():
                self.table = self.database.create_table(self.path.stem, schema=wanted)
            self.table = self.database.open_table(self.path.stem)
        found = self.table.schema
        if missing := [each for each in wanted.names if each not in found.names]:
            raise ConfigurationError(f"{self.name} is a table without the column {missing[0]}; name another one")
        if found.field("Vector").type != wanted.field("Vector").type:
            raise wrong_dimension(self.name, getattr(found.field("Vector").type, "list_size", None), first)
        return max(1, GROUP_BYTES // (4 * first.dimension))

    def refusal(self, image_id: str) -> str | None:  # noqa: ARG002 - any text will do
        return None

    def marks(self, image_ids: Sequence[str]) -> Mapping[str, Mark]:
        quoted = ", ".join("'" + each.replace("'", "''") + "'" for each in image_ids)
        with self._sentences():
            query = self.table.search().where(f"{KEY} IN ({quoted})").select([KEY, *MARK]).limit(len(image_ids))
            rows = query.to_arrow().to_pylist()
        return {each[KEY]: mark_of(each) for each in rows}

    def put(self, vectors: Sequence[StoredVector], numbers: Vectors) -> None:
        schema = self._schema(numbers.shape[1])
        rows = self.pyarrow.FixedSizeListArray.from_arrays(numbers.reshape(-1), type=schema.field("Vector").type)
        kept = [{KEY: each.image_id, **carried(each)} for each in vectors]
        fields = list(schema)[:-1]
        columns = [self.pyarrow.array([row.get(each.name) for row in kept], each.type) for each in fields]
        table = self.pyarrow.table([*columns, rows], schema=schema)
        with self._sentences():
            self.table.merge_insert(KEY).when_matched_update_all().when_not_matched_insert_all().execute(table)

    def close(self) -> None:
        """Do nothing: every write is a version of its own, complete on the disk."""

    def _schema(self, dimension: int) -> Any:
        types = {str: self.pyarrow.string(), int: self.pyarrow.int64()}
        vector = self.pyarrow.list_(self.pyarrow.float32(), dimension)
        columns = [(each.name, types[each.kind]) for each in CARRIED]
        return self.pyarrow.schema([(KEY, self.pyarrow.string()), *columns, ("Vector", vector)])

    @contextmanager
    def _sentences(self) -> Iterator[None]:
        """Turn LanceDB's errors, which are Python's own, into ours."""
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            text = str(error).partition("\n")[0]
            if "No space left" in text:
                raise out_of_space(self.name) from error
            if "conflict" in text.lower():
                raise TransientError(f"{self.name} was changed by another process meanwhile; run again") from error
            raise ConfigurationError(f"{self.name} cannot be used as a table of LanceDB: {text}") from error
