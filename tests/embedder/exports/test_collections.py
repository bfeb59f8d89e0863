"""`read --out` into LanceDB, Qdrant and PostgreSQL, each of them real."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedder.exports.transfer import CARRIED, column
from tests.embedder.commands import command
from tests.embedder.stored import fill, many, stored
from tests.embedder.stores.test_contract import ODD_IDS
from tests.parts import postgres, server

Contents = dict[str, tuple[dict[str, Any], list[float]]]
"""What a collection keeps beside each vector, and the vector, by id."""

LATER = "2026-11-06T10:00:00+00:00"
FULL = {"width": 6000, "height": 4000, "size": 12_345_678, "format": "JPEG", "taken": "2024-05-01T12:30:00+02:00"}

ME = "me:secret"
"""A user and a password, not written as an address, which a search for secrets would find."""


@pytest.fixture(scope="module")
def dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with postgres.serving(tmp_path_factory.mktemp("postgres")) as found:
        yield found


def filled(address: str, contents: Callable[[], Contents], tmp_path: Path) -> None:
    """Fill a new collection: in part, then whole, then again, then with a vector that has changed."""
    store = str(tmp_path / "vectors.db")
    vectors = {each.image_id: each for each in (*many(30), *(stored(name, 99) for name in ODD_IDS))}
    vectors["image-00003"] = stored("image-00003", 3, **FULL)
    fill(store, list(vectors.values()))
    assert command("read", store, "image-00001", ODD_IDS[0], "--out", address).returncode == 0
    assert set(contents()) == {"image-00001", ODD_IDS[0]}
    whole = command("read", store, "--out", address)
    assert (whole.returncode, whole.stderr) == (0, f"42 vectors put, 2 there already, in {address}\n")
    again = command("read", store, "--out", address)
    assert "0 vectors put, 44 there already" in again.stderr
    vectors["image-00002"] = stored("image-00002", 77, created=LATER)
    fill(store, [vectors["image-00002"]])
    assert "1 vector put, 43 there already" in command("read", store, "--out", address).stderr
    found = contents()
    assert found.keys() == vectors.keys()
    for image_id, each in vectors.items():
        kept, numbers = found[image_id]
        assert kept == {attribute.name: getattr(each, attribute.field) for attribute in CARRIED}, image_id
        wanted = np.frombuffer(each.vector, "<f4")
        assert np.allclose(np.array(numbers) / np.linalg.norm(numbers), wanted / np.linalg.norm(wanted), atol=1e-6)
    other = str(tmp_path / "other.db")
    fill(other, [stored("small", vector=bytes(12), dimension=3)])
    refused = command("read", other, "--out", address)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"{address} is for vectors of dimension 512, these have 3; name another one" in refused.stderr


def test_lancedb(tmp_path: Path) -> None:
    import lancedb

    def contents() -> Contents:
        table = lancedb.connect(tmp_path).open_table("photos")
        rows = table.to_arrow().to_pylist()
        assert len(rows) == len({row["ImageId"] for row in rows})
        return {row.pop("ImageId"): (row, row.pop("Vector")) for row in rows}

    filled(str(tmp_path / "photos.lance"), contents, tmp_path)
    folder = tmp_path / "none.lance"
    folder.mkdir()
    refused = command("read", tmp_path / "vectors.db", "--out", folder)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert f"{folder} cannot be used as a table of LanceDB" in refused.stderr


def test_qdrant(tmp_path: Path) -> None:
    from qdrant_client import QdrantClient

    def contents() -> Contents:
        client = QdrantClient(path=str(tmp_path / "qdrant"))
        points, _ = client.scroll("photos", limit=1000, with_vectors=True)
        client.close()
        nothing = {attribute.name: None for attribute in CARRIED}
        found: Contents = {}
        for each in points:
            payload = nothing | dict(each.payload or {})
            image_id = payload.pop("ImageId")
            assert each.id == str(uuid.uuid5(uuid.NAMESPACE_URL, image_id))
            assert isinstance(each.vector, list)
            found[image_id] = payload, each.vector  # type: ignore[assignment] # it has one vector, not several
        return found

    filled(f"qdrant://{tmp_path}/qdrant/photos", contents, tmp_path)
    holding = QdrantClient(path=str(tmp_path / "qdrant"))
    busy = command("read", tmp_path / "vectors.db", "--out", f"qdrant://{tmp_path}/qdrant/photos")
    holding.close()
    assert (busy.returncode, "is in use by another process" in busy.stderr) == (75, True)


def test_pgvector(dsn: str, tmp_path: Path) -> None:
    import psycopg

    def contents() -> Contents:
        names = [column(each.name) for each in CARRIED]
        with psycopg.connect(dsn) as connection:
            query = f"SELECT image_id, vector::real[], {', '.join(names)} FROM photos"
            rows = connection.execute(query.encode()).fetchall()
        return {row[0]: (dict(zip([each.name for each in CARRIED], row[2:], strict=True)), row[1]) for row in rows}

    address = f"{dsn}#photos".replace("postgres:@", "postgres:secret@")
    shown = address.replace(":secret", "")
    filled(shown, contents, tmp_path)
    with psycopg.connect(dsn) as connection:
        nearest = (
            "SELECT image_id FROM photos ORDER BY vector <=> (SELECT vector FROM photos WHERE image_id = %s) LIMIT 1"
        )
        assert connection.execute(nearest, ["image-00005"]).fetchone() == ("image-00005",)
        connection.execute("CREATE TABLE other (image_id text)")
    store = str(tmp_path / "odd.db")
    fill(store, [stored("a\0b"), stored("c" * 2601), stored("d")])
    done = command("read", store, "--out", address)
    assert (done.returncode, "1 vector put" in done.stderr) == (1, True)
    assert "'a\\x00b' has a NUL" in done.stderr
    assert "is longer than the 2600 bytes" in done.stderr
    for out, said in (
        (address.replace("#photos", "#other"), "is a table without the column"),
        (address.replace("/postgres?", "/nowhere?"), 'refuses: database "nowhere" does not exist'),
    ):
        refused = command("read", store, "--out", out)
        assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
        assert said in refused.stderr
        assert "secret" not in refused.stderr + done.stderr


def test_what_does_not_answer_may_do_so_later(tmp_path: Path) -> None:
    store, port = str(tmp_path / "vectors.db"), server.free_port()
    fill(store, [stored("a")])
    for out in (f"qdrant+http://127.0.0.1:{port}/photos", f"postgresql://{ME}@127.0.0.1:{port}/db"):
        done = command("read", store, "--out", out)
        assert (done.returncode, done.stderr.count("\n"), "secret" in done.stderr) == (75, 1, False)
        assert f"{out.replace(':secret', '')} does not answer" in done.stderr


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (f"mysql://{ME}@host/db", "expected a file that ends with .npz"),
        ("mysql://host/db?user=me&password=secret", "qdrant://FOLDER/COLLECTION"),
        (f"postgresql://{ME}@host:port/db#t", "expected postgresql://USER@HOST:PORT/DATABASE#TABLE"),
        (f"postgresql://{ME[:5]}/{ME[3:]}@host/db", "%2F for /"),
        (f"postgresql://{ME[:4]}@{ME[3:]}@host/db", "%40 for @"),
        (f"postgresql://{ME}@host/db?color=red", "expected postgresql://USER@HOST"),
        ("qdrant://photos", "expected qdrant+http://HOST:PORT/COLLECTION"),
        (f"qdrant+http://{ME}@host/photos", "expected qdrant+http://HOST:PORT/COLLECTION"),
        ("nowhere/photos.lance", "there is no folder"),
    ],
)
def test_other_addresses_are_refused_without_a_password(out: str, said: str, tmp_path: Path) -> None:
    done = command("read", tmp_path / "vectors.db", "--out", out)
    assert (done.returncode, done.stderr.count("\n"), "secret" in done.stderr) == (2, 1, False)
    assert said in done.stderr


@pytest.mark.parametrize(
    ("module", "out", "extra"),
    [
        ("lancedb", "photos.lance", "lancedb"),
        ("qdrant_client", "qdrant://photos/all", "qdrant"),
        ("psycopg", f"postgresql://{ME}@host/db", "pgvector"),
    ],
)
def test_a_missing_extra_is_named(module: str, out: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    done = command("read", "vectors.db", "--out", out)
    assert (done.returncode, "secret" in done.stderr) == (2, False)
    assert f"needs {module}: pip install '.[{extra}]'" in done.stderr
