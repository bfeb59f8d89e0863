"""What `--normalize` and `--dtype float16` do to a vector and to a bill: the table in docs/recipes.md is true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedder import embed, read
from submitter.cost import Rates, write_units
from tests.embedder import reference
from tests.embedder.test_walkthroughs import DOCS
from tests.parts.dynamodb import DynamoDB
from tests.photographs import write_photos

KEY = "photos/2026/image-01.jpg"
VARIANTS: dict[str, dict[str, Any]] = {
    "(none)": {},
    "`--normalize`": {"normalize": True},
    "`--dtype float16`": {"dtype": "float16"},
    "`--normalize --dtype float16`": {"normalize": True, "dtype": "float16"},
    "`--dtype uint8`": {"dtype": "uint8"},
}


def documented() -> dict[str, list[str]]:
    """The table's rows, by the options."""
    text = (DOCS / "recipes.md").read_text(encoding="utf-8").split("## Normalised")[1]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.split("\n") if line[:1] == "|"]
    return {row[0]: row[1:] for row in cells[2:]}


def charged(dynamodb: DynamoDB) -> tuple[float, int]:
    """Put one of the table's items with the key and the address of an object in S3; its write units, its bytes."""
    item = next(iter(dynamodb.items().values()))
    del item["Modified"]
    item |= {"ImageId": {"S": KEY}, "Source": {"S": f"s3://my-bucket/{KEY}"}}
    answer = dynamodb.client().put_item(TableName="vectors", Item=item, ReturnConsumedCapacity="TOTAL")
    return answer["ConsumedCapacity"]["CapacityUnits"], len(item["Vector"]["B"])


def unit(vectors: np.ndarray) -> np.ndarray:
    wide = vectors.astype(np.float64)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True)


@pytest.mark.slow
def test_the_table_of_what_it_costs(table: DynamoDB, weights: Path, tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 60)
    rates = Rates()
    plain: np.ndarray | None = None
    rows = documented()
    assert set(rows) == set(VARIANTS)
    for name, options in VARIANTS.items():
        embed(
            tmp_path / "photos",
            "dynamodb://vectors",
            weights=weights,
            engine="torch",
            precision="full",
            recompute=True,
            **options,
        )
        _, vectors = read("dynamodb://vectors")
        plain = vectors if plain is None else plain
        cosine_error = max(1 - reference.cosine(a, b) for a, b in zip(vectors, plain, strict=True))
        relative = max(reference.relative_error(a, b) for a, b in zip(unit(vectors), unit(plain), strict=True))
        units, stored = charged(table)
        table.client().delete_item(TableName="vectors", Key={"ImageId": {"S": KEY}})
        dollars = units * rates.dynamodb_write_per_million
        print(f"| {name} | {stored} | {cosine_error:.0e} | {relative:.0e} | {units:g} | {dollars:.2f} |")
        size, cosine, error, documented_units, price = rows[name]
        assert (int(size), float(documented_units)) == (stored, units)
        assert float(price) == pytest.approx(dollars, abs=0.005)
        assert cosine_error <= float(cosine) + 1e-12
        assert relative <= float(error) + 1e-12
        ours = Rates(dimension=512, bytes_per_number=stored // 512)
        assert write_units("my-bucket", KEY, ours) == units, "what submitter --dry-run says"


def test_the_units_are_those_the_text_speaks_of() -> None:
    text = (DOCS / "recipes.md").read_text(encoding="utf-8")
    rates = Rates()
    assert re.search(rf"\b{rates.dynamodb_write_per_million} for a million units", text)
    assert rates.as_of.split(",")[0] in text
    assert len(KEY.encode()) == 24
