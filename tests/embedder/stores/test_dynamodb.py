"""The DynamoDB store against AWS's own engine, with the faults that the real service has put in by hooks."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from embedder.errors import ConfigurationError, RejectedError, TransientError
from embedder.stores import Store, open_store
from embedder.stores.dynamodb import DynamoDBStore
from tests.embedder.conftest import UseEnvironment
from tests.embedder.stored import contents, fill, many, opened, stored
from tests.parts import fault_proxy
from tests.parts.dynamodb import DynamoDB
from tests.parts.fault_proxy import UNPROCESSED, Fault

STORE = "dynamodb://vectors"
Hook = Callable[..., Any]


@contextmanager
def opened_with(**hooks: Hook) -> Iterator[DynamoDBStore]:
    """The store with hooks on its client, named as botocore's events with `_` for `.` and `-`."""
    with opened(STORE) as store:
        assert isinstance(store, DynamoDBStore)
        for name, hook in hooks.items():
            event, operation = name.rsplit("_", 1)
            store.client.meta.events.register(f"{event.replace('_', '-')}.dynamodb.{operation}", hook)
        yield store


class TakesFew:
    """Lets only `few` requests of each batch through and hands the others back, as a throttled table does."""

    def __init__(self, few: int) -> None:
        self.few = few
        self.calls = 0

    def before(self, params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        self.calls += 1
        requests = params["RequestItems"]["vectors"]
        if isinstance(requests, dict):
            context["left"] = {**requests, "Keys": requests["Keys"][self.few :]}
            taken: Any = {**requests, "Keys": requests["Keys"][: self.few]}
        else:
            context["left"] = requests[self.few :]
            taken = requests[: self.few]
        params["RequestItems"] = {"vectors": taken}

    def after(self, parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
        left = context["left"]
        if isinstance(left, dict):
            parsed["UnprocessedKeys"] = {"vectors": left} if left["Keys"] else {}
        else:
            parsed["UnprocessedItems"] = {"vectors": left} if left else {}


class Throttles:
    """Answers the first `times` calls with an error of the service."""

    def __init__(self, times: int, code: str = "ProvisionedThroughputExceededException") -> None:
        self.times = times
        self.code = code
        self.calls = 0
        self.lock = threading.Lock()

    def __call__(self, **_: Any) -> None:
        with self.lock:
            self.calls += 1
            calls = self.calls
        if calls <= self.times:
            answer: Any = {
                "Error": {"Code": self.code, "Message": "slow down"},
                "ResponseMetadata": {"HTTPStatusCode": 400},
            }
            raise ClientError(answer, "BatchWriteItem")


def test_unprocessed_items_are_sent_again_until_all_are_taken(table: DynamoDB) -> None:
    hooks = TakesFew(10)
    with opened_with(provide_client_params_BatchWriteItem=hooks.before, after_call_BatchWriteItem=hooks.after) as store:
        store.write(many(25))
    assert hooks.calls == 3
    assert set(table.items()) == {each.image_id for each in many(25)}


@pytest.mark.usefixtures("table")
def test_unprocessed_keys_are_asked_for_again() -> None:
    fill(STORE, many(90))
    ids = [each.image_id for each in many(90)]
    hooks = TakesFew(40)
    with opened_with(provide_client_params_BatchGetItem=hooks.before, after_call_BatchGetItem=hooks.after) as store:
        assert sorted(each.image_id for each in store.get(ids)) == ids
        assert hooks.calls == 3
        assert sorted(store.lookup(ids)) == ids


@pytest.mark.usefixtures("impatient")
def test_a_table_that_never_takes_all_is_a_passing_matter(table: DynamoDB) -> None:
    hooks = TakesFew(0)
    with opened(STORE) as store:
        assert isinstance(store, DynamoDBStore)

        def before(params: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
            context["all"] = params["RequestItems"]
            params["RequestItems"] = {"vectors": params["RequestItems"]["vectors"][:1]}

        def after(parsed: dict[str, Any], context: dict[str, Any], **_: Any) -> None:
            hooks.calls += 1
            parsed["UnprocessedItems"] = context["all"]

        store.client.meta.events.register("provide-client-params.dynamodb.BatchWriteItem", before)
        store.client.meta.events.register("after-call.dynamodb.BatchWriteItem", after)
        with pytest.raises(TransientError, match="throttled"):
            store.write(many(5))
    assert hooks.calls > 1
    assert set(table.items()) == {"image-00000"}


@pytest.mark.parametrize(
    "code", ["ProvisionedThroughputExceededException", "ThrottlingException", "InternalServerError"]
)
def test_throttled_calls_are_made_again(table: DynamoDB, code: str) -> None:
    throttle = Throttles(3, code)
    with opened_with(before_call_BatchWriteItem=throttle) as store:
        store.write(many(5))
    assert throttle.calls == 4
    assert len(table.items()) == 5


@pytest.mark.parametrize(
    "fault",
    [fault_proxy.THROTTLED, fault_proxy.UNPROCESSED, fault_proxy.RESET, Fault(cut=150), replace(UNPROCESSED, cut=150)],
    ids=["throttled", "unprocessed", "reset", "cut", "unprocessed and cut"],
)
def test_what_a_broken_network_does_to_a_batch_is_made_good(
    table: DynamoDB, use_environment: UseEnvironment, fault: Fault
) -> None:
    with fault_proxy.before(table.endpoint) as proxy:
        use_environment({"AWS_ENDPOINT_URL_DYNAMODB": proxy.endpoint})
        with opened(STORE) as store:
            proxy.choose = fault_proxy.at_first(2, fault, only="BatchWriteItem")
            store.write(many(25))
            proxy.choose = fault_proxy.at_first(2, fault, only="BatchGetItem")
            assert len(list(store.get([each.image_id for each in many(25)]))) == 25
    assert len(table.items()) == 25
    assert proxy.spoilt == {"BatchWriteItem": 2, "BatchGetItem": 2}


@pytest.mark.usefixtures("table")
def test_throttled_reads_are_made_again() -> None:
    fill(STORE, many(5))
    reads: dict[str, Callable[[Store], list[str]]] = {
        "BatchGetItem": lambda store: [each.image_id for each in store.get(["image-00001"])],
        "Scan": lambda store: [each for block in store.blocks() for each in block.image_ids if each == "image-00001"],
    }
    for operation, read in reads.items():
        throttle = Throttles(2)
        with opened_with(**{f"before_call_{operation}": throttle}) as store:
            assert read(store) == ["image-00001"]
        assert throttle.calls >= 3


@pytest.mark.usefixtures("table")
def test_waiting_ends_when_the_process_is_to_stop() -> None:
    stopping = threading.Event()
    store = open_store(STORE, stopping=stopping)
    assert isinstance(store, DynamoDBStore)

    def throttle(**_: Any) -> None:
        stopping.set()
        Throttles(1)()

    store.client.meta.events.register("before-call.dynamodb.BatchWriteItem", throttle)
    with pytest.raises(TransientError, match="ProvisionedThroughputExceededException"):
        store.write(many(1))
    store.close()


def test_a_scan_reads_every_page_of_every_segment(table: DynamoDB) -> None:
    # 1,600 × 2.2 kB in 8 segments would fit in a page each; larger vectors make several.
    big = [stored(f"big-{number:03d}", number, vector=bytes(60_000), dimension=15_000) for number in range(200)]
    fill(STORE, big)
    pages: Counter[int] = Counter()

    def count(params: dict[str, Any], **_: Any) -> None:
        pages[params["Segment"]] += 1

    with opened_with(provide_client_params_Scan=count) as store:
        assert sorted(each for block in store.blocks() for each in block.image_ids) == [each.image_id for each in big]
    assert max(pages.values()) > 1
    assert len(pages) > 1
    assert set(table.items()) == {each.image_id for each in big}


@pytest.mark.usefixtures("table")
def test_a_scan_that_nobody_finishes_ends() -> None:
    fill(STORE, many(300))
    with opened(STORE) as store:
        found = store.blocks()
        assert set(next(iter(found)).dimensions) == {512}
        del found


def test_a_group_is_what_one_call_takes(table: DynamoDB) -> None:
    fill(STORE, many(26))
    assert len(table.items()) == 26
    with opened(STORE) as store:
        assert store.group == 25
        assert store.max_id_bytes == 2048
        store.write([stored("é" * 1024)])
        with pytest.raises(RejectedError):
            store.write([stored("é" * 1024 + "a")])
        with pytest.raises(RejectedError):
            store.write([stored("large", vector=bytes(410_000))])


def test_items_have_the_attributes_of_the_contract(table: DynamoDB) -> None:
    expected = stored("cats/1.jpg", 7, modified=None)
    fill(STORE, [expected])
    assert table.items() == {
        "cats/1.jpg": {
            "ImageId": {"S": "cats/1.jpg"},
            "Vector": {"B": expected.vector},
            "DataType": {"S": "float32"},
            "Dimension": {"N": "512"},
            "Created": {"S": expected.created},
            "Fingerprint": {"S": expected.fingerprint},
            "ETag": {"S": "etag-7"},
            "Source": {"S": "file:///pictures/7.jpg"},
        }
    }
    fill(STORE, [stored("cats/1.jpg", 7, modified="1-2", scale=0.25)])
    assert table.items()["cats/1.jpg"].items() >= {"Modified": {"S": "1-2"}, "Scale": {"N": "0.25"}}.items()


@pytest.mark.parametrize("vector", [None, {"S": "1 2 3"}])
def test_an_item_without_a_vector_is_a_sentence(table: DynamoDB, vector: Any) -> None:
    item = {"ImageId": {"S": "odd"}, **({"Vector": vector} if vector else {})}
    table.client().put_item(TableName="vectors", Item=item)
    with opened(STORE) as store:
        assert [each.image_id for each in store.describe()] == ["odd"]
        for read in (lambda: store.get(["odd"]), lambda: store.blocks()):
            with pytest.raises(ConfigurationError, match="the item 'odd' of the table vectors has no Vector of type B"):
                list(read())


def test_items_of_the_original_sample_are_read(table: DynamoDB) -> None:
    item: Any = {
        "ImageId": {"S": "1"},
        "Vector": {"B": stored("1").vector},
        "DataType": {"S": "float32"},
        "Dimension": {"N": "512"},
        "Created": {"S": "2023-01-01"},
    }
    table.client().put_item(TableName="vectors", Item=item)
    found = contents(STORE)["1"]
    assert (found.vector, found.etag, found.source, found.fingerprint) == (stored("1").vector, "", "", "")


def test_a_missing_table_is_named(table: DynamoDB) -> None:
    with pytest.raises(ConfigurationError, match="there is no DynamoDB table nowhere in us-east-1"):
        open_store("dynamodb://nowhere")
    assert table.client().list_tables()["TableNames"] == ["vectors"]


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ([("Id", "HASH", "S")], r"Id \(S, HASH\)"),
        ([("ImageId", "HASH", "N")], r"ImageId \(N, HASH\)"),
        ([("ImageId", "HASH", "S"), ("Created", "RANGE", "S")], r"Created \(S, RANGE\)"),
    ],
)
def test_a_table_with_another_key_is_refused(table: DynamoDB, key: list[tuple[str, str, Any]], sentence: str) -> None:
    schema: Any = [{"AttributeName": name, "KeyType": kind} for name, kind, _ in key]
    definitions: Any = [{"AttributeName": name, "AttributeType": type_} for name, _, type_ in key]
    table.client().create_table(
        TableName="other", KeySchema=schema, AttributeDefinitions=definitions, BillingMode="PAY_PER_REQUEST"
    )
    with pytest.raises(ConfigurationError, match=sentence):
        open_store("dynamodb://other")


@pytest.mark.parametrize("name", ["dynamodb://", "dynamodb://a/b"])
def test_a_name_that_is_no_table_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="expected dynamodb://TABLE"):
        open_store(name)
