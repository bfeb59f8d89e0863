"""The vector index of a DynamoDB table, against DynamoDB Local and what simulates the indexes in front of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from embedder.errors import ConfigurationError, RejectedError
from embedder.indexes.backfill import Backfill
from embedder.indexes.dynamodb import TableKind
from embedder.results.similar import similar
from embedder.stores.dynamodb import DynamoDBStore
from embedder.stores.vector_index import ATTRIBUTE, VectorIndex, decoded, definition
from tests.embedder.commands import command
from tests.embedder.conftest import UseEnvironment
from tests.embedder.stored import FINGERPRINT, fill, many, opened, stored
from tests.parts.dynamodb import DynamoDB
from tests.parts.dynamodb_vectors import VectorTables, vector_tables

STORE = "dynamodb://vectors"


@pytest.fixture
def vectors(dynamodb: DynamoDB, use_environment: UseEnvironment) -> Iterator[VectorTables]:
    """A table without an index, in a service that has vector indexes."""
    with vector_tables(dynamodb.endpoint) as tables:
        use_environment({**dynamodb.environment(), "AWS_ENDPOINT_URL_DYNAMODB": tables.endpoint})
        dynamodb.create_table()
        yield tables


def made() -> tuple[dict[str, Any], str]:
    """Make the index, and return what was done, and what it was said to cost."""
    with opened(STORE) as store:
        assert isinstance(store, DynamoDBStore)
        price = TableKind(store).price(None)
        return Backfill(store, settle=0, poll=0.01).run(None).as_json(), str(price)


def test_an_index_is_made_filled_kept_and_searched(vectors: VectorTables, dynamodb: DynamoDB) -> None:
    small: dict[str, Any] = {"data_type": "uint8", "fingerprint": "resnet18/random/pre1/uint8", "scale": 0.01}
    fill(STORE, [*many(16), stored("uint8", vector=bytes(range(256)) * 2, **small)])
    before = dynamodb.items()
    everything = similar(STORE, "image-00003", 5, fingerprint=FINGERPRINT)
    assert (everything.searched_by, "has no vector index" in everything.remark) == (None, True)

    done, price = made()
    assert (done["written"], done["changed"], done["left"], done["index"]) == (17, 0, 0, "vectors")
    assert "at most 17 vectors × 6 write units" in price
    after = dynamodb.items()
    for image_id, item in after.items():
        numbers = item.pop(ATTRIBUTE)["L"]
        vector = np.frombuffer(item["Vector"]["B"], item["DataType"]["S"])
        wanted = vector.astype(np.float32) * np.float32(item.get("Scale", {"N": "1"})["N"])
        assert np.array_equal(np.array([each["N"] for each in numbers], np.float32), wanted), image_id
    assert after == before  # the original reader finds what it found

    indexed = similar(STORE, "image-00003", 5)
    assert (indexed.searched_by, vectors.searches) == ("the vector index vectors of the table vectors", 1)
    assert list(indexed) == list(everything)

    fill(
        STORE, [stored("image-00003-copy", 3), stored("image-00003-other", 4)]
    )  # a writer writes for an index that is there, unasked
    assert [each.image_id for each in similar(STORE, "image-00003", 2)] == ["image-00003", "image-00003-copy"]
    result = command("similar", STORE, "image-00003", "-k", "2", "--prefix", "image-00003")
    assert result.stderr.splitlines()[-1] == "searched by the vector index vectors of the table vectors"
    again = command("index", STORE, "--yes", "--json")
    report = json.loads(again.stdout)
    assert report == {**done, "vectors": 19, "written": 0, "seconds": report["seconds"]}


def test_an_index_that_may_miss_something_is_not_searched(vectors: VectorTables, dynamodb: DynamoDB) -> None:
    fill(STORE, many(12))
    refused = command("index", STORE)
    assert (refused.returncode, "pass --yes" in refused.stderr) == (2, True)
    assert not any(ATTRIBUTE in item for item in dynamodb.items().values())
    made()
    index = vectors.only()

    def reason(k: int = 3, **options: Any) -> str:
        found = similar(STORE, "image-00003", k, **options)
        assert found.searched_by is None
        assert len(found) == min(k, 12)
        return found.remark

    index.looks = 100
    assert "still being built" in reason()
    index.looks = 0
    index.items = 11
    assert "held 11 of 12 items" in reason()
    index.items = 0
    dynamodb.client().put_item(TableName="vectors", Item={**dynamodb.items()["image-00000"], "ImageId": {"S": "x"}})
    index.items = None
    assert similar(STORE, "image-00003", 3).searched_by
    fill(STORE, [stored("other", 1, dimension=256, vector=bytes(1024), fingerprint="other/0/pre1/float32")])
    assert "held 13 of 14 items" in reason(fingerprint=FINGERPRINT)
    dynamodb.client().delete_item(TableName="vectors", Key={"ImageId": {"S": "other"}})
    dynamodb.client().delete_item(TableName="vectors", Key={"ImageId": {"S": "x"}})
    assert "at most 100 results" in reason(101)
    remark = similar(STORE, "image-00003", 3, prefix="image-00003").remark
    assert "gave 1 of 4 images whose id starts with 'image-00003'" in remark


@pytest.mark.usefixtures("vectors")
def test_filling_leaves_what_changes_meanwhile_and_goes_on_where_it_ended() -> None:
    fill(STORE, many(8))
    with opened(STORE) as store:
        assert isinstance(store, DynamoDBStore)

        def change(params: dict[str, Any], **_: Any) -> None:
            if params["Key"]["ImageId"]["S"] == "image-00005":
                store.write([stored("image-00005", 99)])

        store.client.meta.events.register("before-parameter-build.dynamodb.UpdateItem", change)
        done = Backfill(store, settle=0, poll=0.01).run(None).figures
        assert (done["written"], done["changed"]) == (8, 1)  # the second look finds the one that changed
        (found,) = store.get(["image-00005"])
        assert np.array_equal(decoded(found), decoded(stored("image-00005", 99)))
        index = VectorIndex.of(store.describe_table())
        assert index is not None
        assert (index.items, index.table_items) == (8, 8)


@pytest.mark.usefixtures("vectors")
def test_what_no_index_can_hold_is_refused_in_a_sentence(dynamodb: DynamoDB) -> None:
    client = dynamodb.client()
    with opened(STORE) as store:
        assert isinstance(store, DynamoDBStore)
        with pytest.raises(ConfigurationError, match="there is no vector in dynamodb://vectors"):
            TableKind(store).price(None)
        with pytest.raises(ConfigurationError, match=r"at most 4,096 numbers and these vectors have 5,000"):
            store.prepare(index=5000)
        store.prepare(index=512)
        store.write([stored("listed")])
    assert ATTRIBUTE in dynamodb.items()["listed"]
    made()
    with opened(STORE) as store:
        with pytest.raises(ConfigurationError, match="takes 512 numbers and these vectors have 384"):
            store.prepare(index=384)
        with pytest.raises(RejectedError, match="Invalid size for parameter VectorNumbers, Expected: 512, Actual: 3"):
            store.write([replace(stored("lies"), vector=bytes(12))])
    client.update_table(
        TableName="vectors",
        BillingMode="PROVISIONED",
        ProvisionedThroughput={"ReadCapacityUnits": 1, "WriteCapacityUnits": 1},
    )
    with opened(STORE) as store, pytest.raises(ConfigurationError, match="on-demand tables only"):
        store.prepare(index=512)


def test_a_table_is_made_with_its_index(vectors: VectorTables, dynamodb: DynamoDB) -> None:
    with opened(STORE) as store:
        assert isinstance(store, DynamoDBStore)
        store.client.create_table(
            TableName="whole",
            KeySchema=[{"AttributeName": "ImageId", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in ("ImageId", "Fingerprint")],
            BillingMode="PAY_PER_REQUEST",
            VectorIndexes=[definition(512)],
        )
    vectors.indexes[dynamodb.credentials.access_key, "whole"]["vectors"].looks = 0
    fill("dynamodb://whole", many(4))
    assert similar("dynamodb://whole", "image-00002", 2).searched_by


def test_sqlite_names_the_command_for_its_own_index(tmp_path: Any) -> None:
    store = tmp_path / "vectors.db"
    with opened(str(store)) as found, pytest.raises(ConfigurationError, match=f"embedder index {store}"):
        found.prepare(index=512)
