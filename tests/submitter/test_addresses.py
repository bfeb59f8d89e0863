"""Tables of addresses: read by the submitter, cut into shards, and embedded by a real worker."""

from __future__ import annotations

import gzip
from collections.abc import Callable

import pytest

from submitter.addresses import AddressTable
from submitter.deadline import Deadline
from submitter.errors import OutOfTimeError, TransientError, UsageError
from submitter.manifest import Entry
from submitter.selection import ListingTally
from tests.embedder.pictures import jpeg
from tests.embedder.stand_in import PixelEncoder, only_engine
from tests.embedder.stored import contents
from tests.embedder.web_server import web_server
from tests.submitter.cloud import Cloud
from tests.submitter.fake_aws import BUCKET, Answer, FakeAws
from tests.submitter.lambda_events import LambdaContext
from tests.submitter.terminal import Terminal


@pytest.fixture
def terminal(submitter_cloud: Cloud, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(cloud=submitter_cloud, capsys=capsys)


def put_table(cloud: Cloud, *rows: str, name: str = "lists/all.csv.gz") -> str:
    text = "\n".join(["caption,URL", *(f'"a, b",{row}' for row in rows)])
    cloud.put(name, body=gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return f"s3://{cloud.targets.bucket}/{name}"


def test_a_run_of_addresses(terminal: Terminal) -> None:
    cloud = terminal.cloud
    own, other = cloud.targets.bucket, f"{cloud.targets.bucket}-other"
    cloud.services.s3.create_bucket(Bucket=other)
    cloud.services.s3.put_object(Bucket=other, Key="images/1.jpg", Body=jpeg(1))
    cloud.put("images/0.jpg", body=jpeg(0))
    cloud.put("lists/near.jpg", body=jpeg(2))
    with web_server() as server, only_engine(PixelEncoder().open):
        web = server.url.removeprefix("http://")
        rows = [
            *(f"s3://{own}/images/0.jpg", f"s3://{other}/images/1.jpg", "near.jpg", f"{server.url}/3.jpg"),
            *("", f"{server.url}/status/404", "ftp://nobody/reads.jpg", f"s3://{own}/images/0.jpg"),
        ]
        table = put_table(cloud, *rows)
        submit = ("submit", "--addresses", table, "--shard-size", "4")
        planned = terminal(*submit, "--dry-run")
        assert (planned["images"], planned["shards"]) == (6, 2)
        answer = terminal(*submit)
        assert answer["images"] == 6
        assert answer["skipped"] == {"no_address": 1, "listed_twice": 1}
        run = answer["run_uri"]
        assert [(entry.kind, entry.key) for entry in cloud.entries(run)[0]] == [
            *(("key", "images/0.jpg"), ("uri", f"s3://{other}/images/1.jpg")),
            *(("key", "lists/near.jpg"), ("uri", f"{server.url}/3.jpg")),
        ]
        first = terminal.work(run, 0, allow_private=True)
        assert (first.embedded, first.failed) == (4, 0)
        terminal.work(run, 1, allow_private=True)
        status = terminal("status", run)
        assert (status["images"], status["embedded"], status["failed"], status["missing"]) == (6, 4, 2, 0)
        assert status["failures"] == {"list: BadAddress": 1, "fetch: NotFound": 1}
        verdict = terminal("verify", run)
        assert {each["image_id"] for each in verdict["differences"]} == {"ftp://nobody/reads.jpg", f"{web}/status/404"}
        retried = terminal("retry", run, "--now")
        assert [entry.key for entry in cloud.entries(retried["run_uri"])[0]] == rows[5:7]
        # Two images of one name need the whole address as their id.
        cloud.put("images/1.jpg", body=jpeg(9))
        put_table(cloud, f"s3://{own}/images/1.jpg", f"s3://{other}/images/1.jpg")
        assert terminal(*submit)["error"].count("--image-id uri") == 1
        answer = terminal(*submit, "--image-id", "uri", "--recompute")
        assert terminal.work(answer["run_uri"], 0).embedded == 2
        assert terminal("verify", answer["run_uri"])["exit_code"] == 0
    assert set(contents(f"dynamodb://{cloud.targets.table}")) == {
        *("images/0.jpg", "images/1.jpg", "lists/near.jpg", f"{web}/3.jpg"),
        *(f"s3://{own}/images/1.jpg", f"s3://{other}/images/1.jpg"),
    }


def read(
    fake: FakeAws, name: str, intercept: Callable[[str, Callable[[], Answer]], Answer] | None = None
) -> list[Entry]:
    table = AddressTable(s3=fake.connect(intercept).s3, uri=f"s3://{BUCKET}/{name}", bucket=BUCKET)
    return list(table.entries(ListingTally(), Deadline()))


def test_a_connection_that_is_cut_is_opened_again_where_it_ended(submitter_fake: FakeAws) -> None:
    keys = [f"images/{number:06d}.jpg" for number in range(3000)]
    submitter_fake.objects["all.tsv"] = "\n".join(["key\tsize", *(f"/{key}\t1" for key in keys)]).encode()
    cuts = iter([True, True, False, True])
    asked = []

    def intercept(operation: str, serve: Callable[[], Answer]) -> Answer:
        asked.append(operation)
        answer = serve()
        if next(cuts, False):
            answer.body = answer.body[: len(answer.body) // 2]
        return answer

    assert [entry.key for entry in read(submitter_fake, "all.tsv", intercept)] == keys
    assert len(asked) == 3

    def never(_: str, serve: Callable[[], Answer]) -> Answer:
        answer = serve()
        answer.body = b""
        return answer

    with pytest.raises(TransientError, match="cut off 6 times"):
        read(submitter_fake, "all.tsv", never)


@pytest.mark.parametrize(
    ("name", "body", "complaint"),
    [
        ("a.parquet", b"PAR1", r"Parquet.*to_csv.*or let one machine read it: embedder run s3://"),
        ("a.json", b"{}", r"expected \.csv or \.tsv"),
        ("none.csv", None, "there is no table"),
        ("a.csv", b"name,size\n", "no column of addresses: it has name, size"),
        ("a.csv", b"", "it has no header"),
        ("a.csv", b'url\n"a" b\n', "damaged after line 2"),
        ("a.csv.gz", gzip.compress(b"url\nb.jpg\n" * 99, mtime=0)[:-9], "damaged"),
        ("a.tsv.gz", b"url\n", "damaged after line 0"),
    ],
)
def test_what_is_no_table_is_a_sentence(submitter_fake: FakeAws, name: str, body: bytes | None, complaint: str) -> None:
    if body is not None:
        submitter_fake.objects[name] = body
    with pytest.raises(UsageError, match=complaint):
        read(submitter_fake, name)


def test_time_runs_out(submitter_fake: FakeAws) -> None:
    submitter_fake.objects["all.csv"] = b"key\n" + b"a.jpg\n" * 1000
    table = AddressTable(s3=submitter_fake.connect().s3, uri=f"s3://{BUCKET}/all.csv", bucket=BUCKET)
    deadline = Deadline(remaining_ms=LambdaContext(milliseconds=9_000).get_remaining_time_in_millis)
    with pytest.raises(OutOfTimeError, match="1,000"):
        list(table.entries(ListingTally(), deadline))
