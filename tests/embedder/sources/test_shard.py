"""Shard files, ours and the original sample's, on disk and in S3."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedder.errors import ConfigurationError
from embedder.records import Failure, Reference
from submitter.manifest import Entry
from tests.embedder.listed import ids, references, source
from tests.embedder.pictures import jpeg, put
from tests.embedder.tars import tar_bytes
from tests.parts.s3 import S3

ODD = ("line\nbreak.jpg", "next\x85line\u2028.jpg", 'it\'s "quoted" \\ 🐈.jpg')


def test_a_shard_of_tar_files_or_of_addresses(moto_bucket: S3, tmp_path: Path) -> None:
    """More of both: tests/submitter/test_run_of_tars.py and test_addresses.py."""
    moto_bucket.put({"t/a.tar": tar_bytes({"0.jpg": jpeg(0), "1.jpg": jpeg(1)}), "b.jpg": jpeg(2)})
    tar = Entry(key="t/a.tar", etag=None, size=None, kind="tar", only=("t/a.tar/1.jpg", "t/a.tar/9.jpg")).to_line()
    uri = Entry(key=moto_bucket.uri("b.jpg"), etag=None, size=None, kind="uri").to_line()
    moto_bucket.put({"tars.jsonl": tar.encode(), "mixed.jsonl": (tar + uri).encode(), "uris.jsonl": uri.encode()})
    found = list(source(moto_bucket.uri("tars.jsonl")).references())
    assert [(type(each), each.image_id) for each in found] == [
        (Reference, "t/a.tar/1.jpg"),
        (Failure, "t/a.tar/9.jpg"),
    ]
    (image,) = references(source(moto_bucket.uri("uris.jsonl")))
    assert (image.image_id, image.uri) == ("b.jpg", moto_bucket.uri("b.jpg"))
    with pytest.raises(ConfigurationError, match="both tar files and images"):
        source(moto_bucket.uri("mixed.jsonl"))
    with pytest.raises(ConfigurationError, match="stem is not possible"):
        source(moto_bucket.uri("tars.jsonl"), image_id="stem")
    local = tmp_path / "local.jsonl"
    local.write_text(uri)
    assert ids(local) == ["b.jpg"]
    local.write_text(tar)
    with pytest.raises(ConfigurationError, match="only a shard in S3"):
        source(local)


def lines(*keys: str) -> str:
    return "".join(Entry(key=key, etag=None, size=None).to_line() for key in keys)


def test_paths_are_relative_to_the_shard_file(tmp_path: Path) -> None:
    first, second = put(tmp_path, "pictures/1.jpg", "2.jpg")
    (tmp_path / "shards").mkdir()
    shard = tmp_path / "shards" / "00000.jsonl"
    shard.write_text(lines("../2.jpg", "../pictures/1.jpg", str(first)))
    found = source(shard)
    listed = references(found)
    assert [each.image_id for each in listed] == ["../2.jpg", "../pictures/1.jpg", str(first)]
    assert found.total == 3
    assert [found.read(each).data for each in listed] == [each.read_bytes() for each in (second, first, first)]
    assert listed[1].uri == listed[2].uri == first.as_uri()


def test_a_local_shard_may_name_objects(moto_bucket: S3, tmp_path: Path) -> None:
    moto_bucket.put({"cats/1.jpg": b"one", "cats/with space+🐈.jpg": b"two"})
    (local,) = put(tmp_path, "3.jpg")
    shard = tmp_path / "mixed.txt"
    shard.write_text(f"{moto_bucket.uri('cats/1.jpg')}\n3.jpg\n{moto_bucket.uri('cats/with space+🐈.jpg')}\n")
    found = source(shard)
    listed = references(found)
    assert [each.image_id for each in listed] == ["cats/1.jpg", "3.jpg", "cats/with space+🐈.jpg"]
    assert [found.read(each).data for each in listed] == [b"one", local.read_bytes(), b"two"]


def test_a_plain_list_has_a_key_per_line(tmp_path: Path) -> None:
    put(tmp_path, "a b.jpg", "c.jpg", "🐈.jpg")
    shard = tmp_path / "list.TXT"
    shard.write_bytes("a b.jpg\r\n\n  \nc.jpg\r\n🐈.jpg".encode())
    assert ids(shard) == ["a b.jpg", "c.jpg", "🐈.jpg"]


def test_a_list_made_on_windows_may_begin_with_a_mark(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", "b.jpg")
    shard = tmp_path / "list.txt"
    shard.write_bytes(b"\xef\xbb\xbfa.jpg\r\nb.jpg\r\n")
    assert ids(shard) == ["a.jpg", "b.jpg"]


def test_any_legal_key_survives(tmp_path: Path) -> None:
    put(tmp_path, *ODD)
    shard = tmp_path / "odd.jsonl"
    shard.write_text(lines(*ODD))
    found = source(shard)
    assert [each.image_id for each in references(found)] == list(ODD)
    assert len({found.read(each).data for each in references(found)}) == 3


def test_shards_in_s3_list_keys_of_their_bucket(bucket: S3) -> None:
    bucket.put({"cats/1.jpg": b"one", "dogs/with space+🐈.jpg": b"two"})
    entries = [Entry(key="cats/1.jpg", etag="abc", size=3), Entry(key="dogs/with space+🐈.jpg", etag=None, size=None)]
    bucket.put({"shards/0.jsonl": "".join(each.to_line() for each in entries).encode()})
    bucket.put({"shards/0.txt": "".join(f"{each.key}\n" for each in entries).encode()})
    for name in ("shards/0.jsonl", "shards/0.txt"):
        found = source(bucket.uri(name))
        listed = references(found)
        assert [each.image_id for each in listed] == [each.key for each in entries]
        assert [found.read(each).data for each in listed] == [b"one", b"two"]
    first, second = references(source(bucket.uri("shards/0.jsonl")))
    assert (first.etag, first.size, first.uri) == ("abc", 3, bucket.uri("cats/1.jpg"))
    assert (second.etag, second.size) == (None, None)


def test_suffixes_are_not_looked_at(tmp_path: Path) -> None:
    put(tmp_path, "picture", "photo.heic")
    (tmp_path / "s.jsonl").write_text(lines("picture", "photo.heic"))
    assert ids(tmp_path / "s.jsonl") == ["picture", "photo.heic"]


def test_an_image_listed_twice_counts_once(tmp_path: Path) -> None:
    put(tmp_path, "1.jpg", "2.jpg")
    (tmp_path / "s.jsonl").write_text(lines("1.jpg", "2.jpg", "1.jpg", "1.jpg"))
    found = source(tmp_path / "s.jsonl")
    assert [each.image_id for each in references(found)] == ["1.jpg", "2.jpg"]
    assert found.ignored == {"listed twice": 2}


def test_two_images_with_one_id_are_a_failure_that_names_both(tmp_path: Path) -> None:
    (tmp_path / "s.txt").write_text("s3://one/cats/1.jpg\ns3://two/cats/1.jpg\n")
    first, second = source(tmp_path / "s.txt").references()
    assert first.image_id == "cats/1.jpg"
    assert isinstance(second, Failure)
    assert (second.stage, second.error) == ("check", "Collision")
    assert "s3://one/cats/1.jpg" in second.message
    assert "s3://two/cats/1.jpg" in second.message
    assert ids(tmp_path / "s.txt", image_id="uri") == ["s3://one/cats/1.jpg", "s3://two/cats/1.jpg"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("cats/1.jpg\n", "line 1 of the shard is not JSON"),
        ('{"key": "a.jpg"}\n["b.jpg"]\n', "line 2 of the shard is not a JSON object"),
        (json.dumps({"path": "a.jpg"}), "needs a `key`"),
        (json.dumps({"key": "a.jpg", "size": -1}), "`size` is neither"),
    ],
)
def test_what_is_no_shard_is_refused_with_its_line(tmp_path: Path, content: str, sentence: str) -> None:
    shard = tmp_path / "s.jsonl"
    shard.write_text(content)
    with pytest.raises(ConfigurationError, match=sentence):
        source(shard)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    for name in ("s.jsonl", "s.txt"):
        (tmp_path / name).write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ConfigurationError, match="is not a shard"):
            source(tmp_path / name)


def test_a_missing_shard_is_named(bucket: S3, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no file or folder"):
        source(tmp_path / "s.jsonl")
    with pytest.raises(ConfigurationError, match=r"there is no shard s3://.*/s\.jsonl"):
        source(bucket.uri("s.jsonl"))


def test_stems_are_refused(tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text(lines("1.jpg"))
    with pytest.raises(ConfigurationError, match="--image-id stem is not possible"):
        source(tmp_path / "s.jsonl", image_id="stem")


def test_a_folder_named_like_a_shard_is_a_folder(tmp_path: Path) -> None:
    put(tmp_path, "photos.txt/1.jpg")
    assert ids(tmp_path / "photos.txt") == ["1.jpg"]
