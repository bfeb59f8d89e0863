from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitter.errors import UsageError
from submitter.request import FIELDS, Request, parse_request, tar_keys


def test_the_originals_event() -> None:
    assert parse_request({"Paths": ["images"]}) == Request(folders=("images/",))


def test_everything_at_once() -> None:
    request = parse_request(
        {
            "Paths": ["a"],
            "Inventory": "s3://b/manifest.json",
            "ShardSize": 7,
            "Suffixes": [".JPG", "jpg", "tiff"],
            "DryRun": True,
            "Recompute": True,
        }
    )
    assert request == Request(
        folders=("a/",),
        inventory="s3://b/manifest.json",
        shard_size=7,
        suffixes=("jpg", "tiff"),
        dry_run=True,
        recompute=True,
    )
    assert request.options == {"recompute": True}


@pytest.mark.parametrize(
    ("paths", "folders"),
    [
        (["/images"], ("images/",)),
        (["//images//"], ("images//",)),
        (["images/"], ("images/",)),
        (["b", "a"], ("b/", "a/")),
        (["a", "a/", "/a"], ("a/",)),
        (["a/b", "a", "ab"], ("a/", "ab/")),
        (["images", "images-old"], ("images/", "images-old/")),
    ],
)
def test_paths_are_folders(paths: list[str], folders: tuple[str, ...]) -> None:
    assert parse_request({"Paths": paths}).folders == folders


@pytest.mark.parametrize("paths", [["/"], [""], ["images", "/"], None])
def test_the_whole_bucket_when_asked_for(paths: list[str] | None) -> None:
    event: dict[str, Any] = {"WholeBucket": True} | ({} if paths is None else {"Paths": paths})
    assert parse_request(event).folders == ("",)


def test_an_inventory_needs_no_paths() -> None:
    assert parse_request({"Inventory": "s3://b/m.json"}).folders == ("",)


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ({}, r"no Paths.*expected \{\"Paths\": \[\"images\"\]\}"),
        ({"Paths": []}, "a list of folders"),
        ({"Paths": "images"}, "a list of folders"),
        ({"Paths": [1]}, "a list of folders"),
        ({"Paths": ["/"]}, '"WholeBucket": true'),
        ({"Paths": ["a", ""]}, '"WholeBucket": true'),
        ({"Paths": ["a"], "WholeBucket": True}, "no path names the whole bucket"),
        ({"Paths": ["s3://b/a"]}, "is an address"),
        ({"paths": ["a"]}, "unknown field 'paths', did you mean Paths"),
        ({"Paths": ["a"], "Shardsize": 1}, "did you mean ShardSize"),
        ({"Paths": ["a"], "Zebra": 1}, "unknown field 'Zebra'"),
        ({"Paths": ["a"], "ShardSize": 0}, "from 1 to 10,000"),
        ({"Paths": ["a"], "ShardSize": 10_001}, "from 1 to 10,000"),
        ({"Paths": ["a"], "ShardSize": True}, "from 1 to 10,000"),
        ({"Paths": ["a"], "ShardSize": "10"}, "from 1 to 10,000"),
        ({"Paths": ["a"], "Suffixes": "jpg"}, "expected a list"),
        ({"Paths": ["a"], "Suffixes": []}, "expected a list"),
        ({"Paths": ["a"], "Suffixes": ["."]}, "expected a list"),
        ({"Paths": ["a"], "DryRun": "yes"}, "expected true or false"),
        ({"Paths": ["a"], "Inventory": "b/manifest.json"}, "expected an address"),
        ({"Paths": ["a", "t/0.tar"]}, r"'t/0\.tar' names tar files and 'a/' a folder: .*--tars"),
        ({"Paths": ["t/{0..9}.tar"], "Inventory": "s3://b/m.json"}, "with an Inventory, name their folder"),
        ({"Paths": ["s3://b/0.tar"]}, "is an address"),
        ({"Addresses": "s3://b/a.csv", "Paths": ["a"]}, "remove Paths"),
        ({"Addresses": "s3://b/a.csv", "Tars": True}, "remove Paths"),
        ({"Addresses": "a.csv"}, "expected an address"),
        ({"Paths": ["a"], "ImageId": "stem"}, "expected key or uri"),
    ],
)
def test_a_malformed_event_says_what_was_expected(event: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        parse_request(event)


def test_tar_files_by_name_by_pattern_and_in_folders() -> None:
    named = parse_request({"Paths": ["/t/{0..1}.tar", "u/a.TAR", "u/a.TAR"], "Suffixes": ["png"], "ImageId": "uri"})
    assert (named.kind, named.folders, named.tar_paths) == ("tars", (), ("t/{0..1}.tar", "u/a.TAR"))
    assert named.options == {"image_id": "uri", "suffixes": ["png"]}
    assert tar_keys(named.tar_paths, ()) == ["t/0.tar", "t/1.tar", "u/a.TAR"]
    both = parse_request({"Paths": ["t", "t/0.tar", "u/0.tar", "x.tar/"], "Tars": True})
    assert (both.kind, both.folders) == ("tars", ("t/", "x.tar/"))
    assert tar_keys(both.tar_paths, both.folders) == ["u/0.tar"], "the other one lies in a folder"
    with pytest.raises(UsageError, match="more than 100,000"):
        tar_keys(["{0..999999}.tar"], ())
    assert parse_request({"Addresses": "s3://b/a.csv"}).kind == "addresses"
    assert parse_request({"Paths": ["a"], "Suffixes": ["png"]}).options == {}, "the submitter has chosen the images"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(max_size=8), json_values, max_size=4))
def test_any_event_is_understood_or_refused(event: dict[str, Any]) -> None:
    try:
        request = parse_request(event)
    except UsageError:
        return
    assert all(folder == "" or (folder.endswith("/") and folder[0] != "/") for folder in request.folders)


@given(st.lists(st.text(alphabet="ab/", min_size=1, max_size=6), min_size=1, max_size=6))
def test_no_object_is_listed_twice(paths: list[str]) -> None:
    folders = parse_request({"Paths": paths, "WholeBucket": not all(path.strip("/") for path in paths)}).folders
    for key in ("a/b/c", "ab/c", "b//a", "aa/b/a", "x"):
        wanted = any(key.startswith(path.lstrip("/").rstrip("/") + "/") for path in paths if path.strip("/"))
        wanted = wanted or not all(path.strip("/") for path in paths)
        counted = sum(key.startswith(folder) for folder in folders)
        assert counted <= 1
        if not any("//" in path.lstrip("/") for path in paths):
            assert counted == wanted
