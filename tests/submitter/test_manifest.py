from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitter.manifest import Entry, Run, RunLocation, address_key, bare_etag, no_picture, parse_entries, shard_number

RUN = Run(
    run_id="r",
    bucket="pictures",
    source="paths",
    paths=("cats/", "dogs/"),
    empty_paths=("dogs/",),
    images=3,
    bytes=30,
    skipped={"suffix": 2},
    shards=1,
    shard_size=1000,
    table="vectors",
    options={"recompute": True},
    created="2026-11-01T00:00:00+00:00",
)

entries = st.builds(
    Entry,
    key=st.text(min_size=1),
    etag=st.none() | st.text(alphabet="0123456789abcdef-", min_size=1),
    size=st.none() | st.integers(min_value=0),
)


@given(st.lists(entries))
def test_a_shard_survives_any_key(written: list[Entry]) -> None:
    text = "".join(entry.to_line() for entry in written)
    assert len(text.splitlines()) == len(written), "one line for everybody's idea of a line"
    assert list(parse_entries(text)) == written
    assert list(parse_entries(text.encode())) == written
    assert list(parse_entries(text.splitlines())) == written
    assert list(parse_entries(text.encode().splitlines(keepends=True))) == written


def test_blank_lines_are_passed_over_and_missing_fields_are_unknown() -> None:
    assert list(parse_entries('\n{"key":"a"}\n\n')) == [Entry(key="a", etag=None, size=None)]


def test_etags_lose_their_quotes() -> None:
    assert next(parse_entries(json.dumps({"key": "a", "etag": '"abc"'}))).etag == "abc"
    assert bare_etag(None) is None


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"key": ""}', "`key`"),
        ('{"etag": "x"}', "`key`"),
        ('{"key": "a", "etag": 1}', "`etag`"),
        ('{"key": "a", "size": -1}', "`size`"),
        ('{"key": "a", "size": true}', "`size`"),
        ('{"key": "a", "tar": "b"}', "`key`, a `uri` or a `tar`"),
        ('{"key": "a", "only": ["a/b"]}', "`only`"),
        ('{"tar": "a", "only": "a/b"}', "`only`"),
    ],
)
def test_a_bad_line_is_named(line: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=f"line 2 of the shard.*{complaint}"):
        list(parse_entries('{"key":"good"}\n' + line))


def test_bytes_that_are_not_text_are_named() -> None:
    with pytest.raises(ValueError, match="line 1 of the shard is not JSON"):
        list(parse_entries(b"\xff\xfe\xfa"))


def test_the_keys_of_a_run() -> None:
    location = RunLocation.parse("s3://pictures/manifests/r-1/")
    assert location == RunLocation(bucket="pictures", run_id="r-1")
    assert location.uri == "s3://pictures/manifests/r-1/"
    assert location.run_key == "manifests/r-1/run.json"
    assert location.jobs_key == "manifests/r-1/jobs.json"
    assert location.shard_key(0) == "manifests/r-1/shards/00000.jsonl"
    assert location.report_key(7) == "manifests/r-1/reports/00007.json"
    assert location.failures_key(12) == "manifests/r-1/failures/00012.jsonl"


@pytest.mark.parametrize(
    ("uri", "prefix"),
    [("s3://b/r", ""), ("s3://b/r/", ""), ("s3://b/manifests/r", "manifests/"), ("s3://b/x/y/r/", "x/y/")],
)
def test_a_run_may_lie_anywhere(uri: str, prefix: str) -> None:
    location = RunLocation.parse(uri)
    assert (location.bucket, location.prefix, location.run_id) == ("b", prefix, "r")
    assert RunLocation.parse(location.uri) == location


@pytest.mark.parametrize("uri", ["", "b/r", "s3://", "s3://b", "s3://b/", "s3:///r/", "https://b/r/"])
def test_not_a_run(uri: str) -> None:
    with pytest.raises(ValueError, match="expected s3://BUCKET/manifests/RUN_ID/"):
        RunLocation.parse(uri)


@given(st.integers(min_value=0, max_value=10**7))
def test_numbers_go_past_five_digits(number: int) -> None:
    location = RunLocation(bucket="b", run_id="r")
    keys = [location.shard_key(number), location.report_key(number), location.failures_key(number)]
    assert [shard_number(key) for key in keys] == [number] * 3


def test_shards_in_order_beyond_99999() -> None:
    location = RunLocation(bucket="b", run_id="r")
    keys = [location.shard_key(number) for number in (100_000, 99_999, 100_001, 5)]
    assert [shard_number(key) for key in sorted(keys, key=shard_number)] == [5, 99_999, 100_000, 100_001]  # type: ignore[arg-type]
    assert shard_number("manifests/r/run.json") is None


def test_a_run_survives_its_json() -> None:
    assert Run.from_json(RUN.to_json()) == RUN
    assert Run.from_json(RUN.to_json().encode()) == RUN
    assert json.loads(RUN.to_json())["schema"] == 1


def test_tar_files_and_addresses() -> None:
    entries = [
        Entry(key="a\n.tar", etag="e", size=1, kind="tar", only=("a\n.tar/1.jpg", "a\n.tar/\udcff.jpg")),
        Entry(key="b.tar", etag=None, size=None, kind="tar"),
        Entry(key="https://h/1.jpg?x", etag=None, size=None, kind="uri"),
    ]
    assert list(parse_entries("".join(each.to_line() for each in entries))) == entries
    assert entries[2].located("b") == ("h/1.jpg?x", "https://h/1.jpg?x")
    assert entries[1].located("b") == ("b.tar", "s3://b/b.tar")
    for bad in ("s3://b", "s3:///k", "https://", "ftp://h/a", "a.jpg"):
        with pytest.raises(ValueError, match="expected s3://BUCKET/KEY"):
            address_key(bad)
    run = replace(RUN, kind="tars", images=None, tars=3)
    assert Run.from_json(run.to_json()) == run
    assert json.loads(run.to_json())["schema"] == 2, "an older worker would take a tar file for an image"
    old = {name: value for name, value in json.loads(RUN.to_json()).items() if name not in ("kind", "tars")}
    assert Run.from_json(json.dumps(old)) == RUN


def test_fields_of_the_future_are_passed_over() -> None:
    future = {**json.loads(RUN.to_json()), "novelty": 1}
    assert Run.from_json(json.dumps(future)) == RUN


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"schema": 3}, "schema 3.*reads 1 to 2"),
        ({"images": "many"}, "`images`, a count, or null for tar files, but has 'many'"),
        ({"images": None}, "`images` is null"),
        ({"paths": "cats"}, "`paths`, a list of strings"),
        ({"skipped": {"suffix": -1}}, "`skipped`, an object of counts"),
        ({"table": None}, "`table`, a string"),
        ({"options": []}, "`options`, an object"),
    ],
)
def test_a_run_that_cannot_be_read_says_why(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Run.from_json(json.dumps({**json.loads(RUN.to_json()), **change}))


@pytest.mark.parametrize(("text", "complaint"), [("", "not JSON"), ("[]", "not a JSON object"), ("{}", "schema None")])
def test_what_is_not_a_run(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Run.from_json(text)


def test_the_format_needs_the_standard_library_alone() -> None:
    code = (
        "import sys; before = set(sys.modules); import submitter.manifest; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "print(new - set(sys.stdlib_module_names) - {'submitter'})"
    )
    said = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=Path(__file__).parents[2])
    assert said.strip() == "set()"


def test_a_run_is_immutable() -> None:
    assert replace(RUN, images=4) != RUN
    with pytest.raises(AttributeError):
        RUN.images = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("path", "reason", "asked_for"),
    [
        ("a/1.jpg", None, None),
        ("./a/../1.jpg", None, None),
        ("a.b/1.2.jpg", None, None),
        ("desktop.ini.jpg", None, None),
        ("my__MACOSX/1.jpg", None, None),
        ("._1.jpg", "AppleDouble", "AppleDouble"),
        ("a/._1.jpg", "AppleDouble", "AppleDouble"),
        ("a/__MACOSX/1.jpg", "AppleDouble", "AppleDouble"),
        ("._folder/1.jpg", "hidden", None),
        (".1.jpg", "hidden", None),
        ("...1.jpg", "hidden", None),
        ("a/.b/c/1.jpg", "hidden", None),
        ("a/@eaDir/1.jpg", "hidden", None),
        ("$RECYCLE.BIN/1.jpg", "hidden", None),
        ("a/thumbs.db", "hidden", None),
        ("line\n/.1.jpg\n", "hidden", None),
    ],
)
def test_what_is_nobodys_picture(path: str, reason: str | None, asked_for: str | None) -> None:
    assert no_picture(path) == reason
    assert no_picture(path, hidden=True) == asked_for
