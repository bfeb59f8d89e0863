"""A reader written for the original sample works on our table as it stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import numpy as np

from embedder import embed, read
from tests.embedder import reference
from tests.parts.dynamodb import DynamoDB


def test_the_original_samples_reader(table: DynamoDB, photo_folder: Path, weights: Path) -> None:
    report = embed(photo_folder, "dynamodb://vectors", weights=weights, device="cpu", engine="torch", precision="full")
    assert report.embedded == 12

    credentials = table.credentials
    resource = boto3.resource(
        "dynamodb",
        endpoint_url=table.endpoint,
        region_name=credentials.region,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
    )
    keys = sorted(str(path.relative_to(photo_folder)) for path in photo_folder.rglob("*.jpg"))
    answer: Any = resource.batch_get_item(RequestItems={"vectors": {"Keys": [{"ImageId": key} for key in keys]}})
    items = {item["ImageId"]: item for item in answer["Responses"]["vectors"]}
    assert sorted(items) == keys
    ids, ours = read("dynamodb://vectors")
    assert ids == keys
    for key, expected in zip(ids, ours, strict=True):
        item = items[key]
        vector = np.frombuffer(item["Vector"].value, dtype=item["DataType"])
        assert len(vector) == item["Dimension"] == 512
        assert np.array_equal(vector, expected)
        assert reference.cosine(vector, reference.vector(reference.upright(photo_folder / key), weights)) >= 0.9999
        assert item["Created"]
