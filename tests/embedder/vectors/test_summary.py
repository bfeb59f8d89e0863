"""What a store holds, counted."""

from __future__ import annotations

import json

from embedder.vectors.summary import info
from tests.embedder.commands import command
from tests.embedder.stored import FINGERPRINT, fill, many, stored


def test_counts_of_a_store(store_name: str) -> None:
    newest = "2026-11-06T09:00:00+00:00"
    fill(store_name, [*many(120), stored("a", created=newest), stored("b", fingerprint="another/model", dimension=256)])
    found = info(store_name)
    assert found.count == 122
    assert found.dimensions == (256, 512)
    assert found.fingerprints == {FINGERPRINT: 121, "another/model": 1}
    assert found.newest == newest
    shown = command("info", store_name, "--json")
    assert shown.returncode == 0
    assert shown.report == json.loads(json.dumps(found.as_json()))
    assert shown.report["store"] == store_name
    assert [line.split("\t") for line in command("info", store_name).stdout.splitlines()] == [
        ["store", store_name],
        ["vectors", "122"],
        ["dimension", "256"],
        ["dimension", "512"],
        ["newest", newest],
        [FINGERPRINT, "121"],
        ["another/model", "1"],
    ]


def test_an_empty_table() -> None:
    """An empty SQLite store is a file that is not there: that one is refused."""
    assert command("info", "nowhere.db").returncode == 2


def test_an_empty_dynamodb_table(table: object) -> None:
    assert table is not None
    found = info("dynamodb://vectors")
    assert (found.count, found.dimensions, found.fingerprints, found.newest) == (0, (), {}, None)
    assert command("info", "dynamodb://vectors").stdout == "store\tdynamodb://vectors\nvectors\t0\n"
