"""A DynamoDB table's vector index: its definition, its description, and a vector as the list of numbers it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from embedder.errors import ConfigurationError
from embedder.records import StoredVector, Vectors, numbers_of

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.type_defs import CreateVectorIndexActionTypeDef

ATTRIBUTE = "VectorNumbers"
"""The attribute that the index reads: the decoded vector as a list of numbers, beside the bytes of `Vector`."""
NAME = "vectors"
FILTER = "Fingerprint"
"""An attribute that a search can demand, so that vectors of other models are never compared."""
WHOLE: tuple[Literal["VectorAttribute", "SearchSchema", "DistanceFunction"], ...] = (
    "VectorAttribute",
    "SearchSchema",
    "DistanceFunction",
)
"""What an index has to have in common with `definition`, so that we can search it."""
LARGEST_DIMENSION = 4096
LARGEST_TOP_K = 100
"""The most results of one search; there are no further pages."""


def definition(dimension: int) -> CreateVectorIndexActionTypeDef:
    """Return the index as CreateTable and UpdateTable take it.

    It holds the keys alone: who searches reads the items of the few results, and so compares what the table has now.
    """
    return {
        "IndexName": NAME,
        "VectorAttribute": {"AttributeName": ATTRIBUTE},
        "SearchSchema": [{"AttributeName": FILTER, "SearchSchemaElementType": "INLINE_FILTER"}],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
        "Dimensions": dimension,
        "DistanceFunction": "COSINE",
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorIndex:
    """The table's vector index, as DescribeTable tells of it."""

    name: str
    dimension: int
    active: bool
    """Whether it exists and has read the whole table."""
    items: int
    table_items: int
    """Both counts are up to six hours old."""

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> VectorIndex | None:
        """Find our index in a table's description; None if there is none, or it is being deleted.

        An index with another distance, or another search schema, is not ours: a search could not use it.
        """
        for each in table.get("VectorIndexes", ()):
            wanted = definition(each["Dimensions"])
            same = all(
                each.get(part) == wanted[part] for part in ("VectorAttribute", "SearchSchema", "DistanceFunction")
            )
            if same and each["IndexStatus"] != "DELETING":
                return cls(
                    name=each["IndexName"],
                    dimension=each["Dimensions"],
                    active=each["IndexStatus"] == "ACTIVE" and not each.get("Backfilling", False),
                    items=each.get("ItemCount", 0),
                    table_items=table.get("ItemCount", 0),
                )
        return None


def check(table: Mapping[str, Any], dimension: int) -> None:
    """Refuse what no vector index can hold.

    Args:
        table: as DescribeTable describes it.
        dimension: that of the vectors.

    Raises:
        ConfigurationError: the table has another capacity mode, its index is of another dimension, or there are too
            many numbers.
    """
    name = table["TableName"]
    if dimension > LARGEST_DIMENSION:
        raise ConfigurationError(
            f"a vector index of DynamoDB takes at most {LARGEST_DIMENSION:,} numbers and these vectors have "
            f"{dimension:,}; leave the index out, or use a model with fewer numbers"
        )
    mode = table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    if mode != "PAY_PER_REQUEST":
        raise ConfigurationError(
            f"the table {name} has provisioned capacity, and DynamoDB has vector indexes for on-demand tables only; "
            f"aws dynamodb update-table --table-name {name} --billing-mode PAY_PER_REQUEST changes that"
        )
    index = VectorIndex.of(table)
    if index is not None and index.dimension != dimension:
        raise ConfigurationError(
            f"the vector index {index.name} of the table {name} takes {index.dimension:,} numbers and these vectors "
            f"have {dimension:,}; use a table for each model"
        )


def decoded(vector: StoredVector) -> Vectors:
    """Return the vector that the bytes stand for, (dimension,) float32."""
    scales = None if vector.scale is None else [vector.scale]
    numbers: Vectors = numbers_of([vector.vector], np.dtype(vector.data_type), scales)[0].astype(np.float32)
    return numbers


def listed(vector: Vectors) -> list[dict[str, str]]:
    """Return a vector as DynamoDB's list of numbers, each the shortest text that gives the same float32."""
    return [{"N": text} for text in vector.astype(np.float32).astype("U").tolist()]
