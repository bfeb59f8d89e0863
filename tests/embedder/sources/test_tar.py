"""Tar files of images: whole, damaged, changed meanwhile, on a disk and in S3."""

from __future__ import annotations

import hashlib
import os
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from embedder import embed
from embedder.errors import ConfigurationError, ImageError
from embedder.records import Reference
from embedder.sources import Readers, Source, tar
from embedder.sources.tar import TarSource
from tests.embedder.commands import command
from tests.embedder.listed import failures, ids, references, source
from tests.embedder.pictures import jpeg
from tests.embedder.stand_in import PixelEncoder
from tests.embedder.tars import tar_bytes
from tests.parts.s3 import S3

LONG = "long/" * 40 + "é #%.jpg"


def write(path: Path, *names: str) -> Path:
    path.write_bytes(tar_bytes({name: jpeg(seed) for seed, name in enumerate(names)}))
    return path


def listed(found: Source) -> list[Reference]:
    return [each for each in found.references() if isinstance(each, Reference)]


@pytest.mark.parametrize("format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_are_images_by_name(tmp_path: Path, format: int) -> None:
    members = {"0.jpg": jpeg(0), "0.json": b"{}", "./in/1.jpg": jpeg(1), LONG: jpeg(2), "._0.jpg": b"x"}
    (tmp_path / "a.tar").write_bytes(tar_bytes(members, format))
    found = source(tmp_path / "a.tar")
    images = references(found)
    assert [each.image_id for each in images] == ["a.tar/0.jpg", "a.tar/in/1.jpg", f"a.tar/{LONG}"]
    assert found.ignored == {".json": 1, "AppleDouble": 1}
    assert [found.read(each).data for each in images] == [jpeg(0), jpeg(1), jpeg(2)]
    assert found.read(images[2]).reference.etag == hashlib.md5(jpeg(2)).hexdigest()
    assert images[0].uri == f"tar+file://{tmp_path}/a.tar#0.jpg"


def test_a_pattern_names_many_files_and_those_that_are_missing_are_failures(tmp_path: Path) -> None:
    write(tmp_path / "00.tar", "a.jpg")
    write(tmp_path / "02.tar", "a.jpg")
    found = source(tmp_path / "{00..02}.tar")
    assert failures(found) == {"01.tar": ("list", "Unreadable")}
    assert [each.image_id for each in found.references()] == ["00.tar/a.jpg", "01.tar", "02.tar/a.jpg"]
    with pytest.raises(ConfigurationError, match="there is no file or folder"):
        source(tmp_path / "{10..12}.tar")


def test_ids_can_be_uris_or_stems(tmp_path: Path) -> None:
    write(tmp_path / "a.tar", "x/1.jpg")
    assert ids(tmp_path / "a.tar", image_id="uri") == [f"tar+file://{tmp_path}/a.tar#x/1.jpg"]
    assert ids(tmp_path / "a.tar", image_id="stem") == ["1"]


@pytest.mark.parametrize("cut", [1, 600, 1024])
def test_a_cut_file_is_a_failure_that_names_it_and_what_is_whole_is_read(tmp_path: Path, cut: int) -> None:
    path = write(tmp_path / "a.tar", "0.jpg", "1.jpg", "2.jpg")
    *_, last = references(source(path))
    place = tar.Place.parse(last.modified)
    assert place
    os.truncate(path, place.offset + place.size - 1 - cut % 600)
    found = source(path)
    assert failures(found) == {"a.tar": ("list", "DamagedTar")}
    images = listed(found)
    assert [each.image_id for each in images] == ["a.tar/0.jpg", "a.tar/1.jpg", "a.tar/2.jpg"]
    assert found.read(images[1]).data == jpeg(1)
    with pytest.raises(ImageError) as caught:
        found.read(images[2])
    assert caught.value.error == "Truncated"


def test_a_damaged_header_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", "0.jpg", "1.jpg", "2.jpg")
    place = tar.Place.parse(references(source(path))[1].modified)
    assert place
    data = bytearray(path.read_bytes())
    data[place.offset - 400] ^= 1
    path.write_bytes(data)
    assert failures(source(path)) == {"a.tar": ("list", "DamagedTar")}
    assert [each.image_id for each in listed(source(path))] == ["a.tar/0.jpg"]


@pytest.mark.parametrize("data", [b"", b"\x1f\x8b" * 600, b"<html>" * 200, tar_bytes({"a.jpg": b"x"})[:1024]])
def test_what_is_no_whole_tar_is_a_failure(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(data)
    assert failures(source(tmp_path / "a.tar")) == {"a.tar": ("list", "DamagedTar")}


def test_a_header_that_claims_gigabytes_asks_for_no_memory(tmp_path: Path) -> None:
    info = tarfile.TarInfo("./PaxHeader")
    info.type, info.size = tarfile.XHDTYPE, 10 << 30
    (tmp_path / "a.tar").write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    assert failures(source(tmp_path / "a.tar")) == {"a.tar": ("list", "DamagedTar")}


def test_two_members_of_one_name_are_told(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes([("a.jpg", jpeg(0)), ("a.jpg", jpeg(1))]))
    found = source(tmp_path / "a.tar")
    assert failures(found) == {"a.tar/a.jpg": ("list", "Collision")}
    (first,) = listed(found)
    assert found.read(first).data == jpeg(0)


def test_images_are_counted_without_being_read_and_estimated_while_they_are_listed(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar_bytes([("a.jpg", jpeg(0)), ("a.json", b"{}"), ("a.jpg", jpeg(1))]))
    whole = tar_bytes({f"{number}.jpg": bytes(1000) for number in range(50)})
    (tmp_path / "1.tar").write_bytes(whole)
    (tmp_path / "3.tar").write_bytes(whole[:6000])
    found = source(tmp_path / "{0..3}.tar")
    assert isinstance(found, TarSource)
    assert found.expected() is None
    listing = found.references()
    for _ in range(26):
        next(listing)
    assert found.expected() == (72, False), "26 in about one and a half of four files"
    listed = 26 + len(list(listing))
    assert found.expected() == (listed, True)
    assert len(list(found.count() or ())) == listed
    assert found.ignored == {".json": 1}


def test_links_are_counted(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as file:
        link = tarfile.TarInfo("a.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "b.jpg"
        file.addfile(link)
    found = source(tmp_path / "a.tar")
    assert (references(found), found.ignored) == ([], {"link within a tar file": 1})


def test_a_file_that_was_packed_again_is_read_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", "0.jpg", "1.jpg")
    found = source(path)
    *_, last = references(found)
    path.write_bytes(tar_bytes({"new.jpg": jpeg(9), "1.jpg": jpeg(7)}))
    assert found.read(last).data == jpeg(7)
    assert found.read(replace(last, modified=None)).data == jpeg(7)
    path.write_bytes(tar_bytes({"new.jpg": jpeg(9)}))
    with pytest.raises(ImageError) as caught:
        found.read(last)
    assert caught.value.error == "NotFound"


def test_a_rerun_skips_by_member_and_a_page_shows_them(encoder: PixelEncoder, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tar", "0.jpg", "1.jpg", "2.jpg")
    report = embed(path, tmp_path / "v.db", weights="random")
    assert (report.embedded, report.failed) == (3, 0)
    assert embed(path, tmp_path / "v.db", weights="random").skipped == 3
    path.write_bytes(tar_bytes({"x.jpg": jpeg(8), "0.jpg": jpeg(0), "1.jpg": jpeg(9), "2.jpg": jpeg(2)}))
    again = embed(path, tmp_path / "v.db", weights="random")
    assert (again.embedded, again.skipped, again.failed) == (2, 2, 0)
    page = tmp_path / "page.html"
    shown = command("similar", tmp_path / "v.db", "a.tar/0.jpg", "--html", page)
    assert (shown.returncode, page.read_text().count("data:image/")) == (0, 4), shown.stderr
    assert encoder.opened == 2


def test_a_tar_in_s3(bucket: S3) -> None:
    bucket.put({f"t/{each}.tar": tar_bytes({"0.jpg": jpeg(each), LONG: jpeg(each + 5)}) for each in range(2)})
    found = source(bucket.uri("t/{0..2}.tar"))
    assert isinstance(found, TarSource)
    assert found.count() is None, "that would cost as much as reading"
    assert failures(found) == {"2.tar": ("list", "NotFound")}
    assert found.expected() == (5, True)
    images = listed(found)
    assert [each.image_id for each in images] == ["0.tar/0.jpg", f"0.tar/{LONG}", "1.tar/0.jpg", f"1.tar/{LONG}"]
    expected = [jpeg(0), jpeg(5), jpeg(1), jpeg(6)]
    assert [found.read(each).data for each in images] == expected  # the last file's were kept, the others are asked for
    assert [found.read(each).data for each in images] == expected
    assert images[1].uri.startswith(f"tar+{bucket.uri('t/0.tar')}#long/long/")
    by_name = Readers(found.reader.reader.patience.stopping)  # type: ignore[attr-defined]
    assert by_name.read(replace(images[1], modified=None)).data == jpeg(5)
    by_name.close()
    with pytest.raises(ConfigurationError, match="there is no tar file"):
        source(bucket.uri("t/3.tar"))


def test_a_tar_in_s3_that_is_replaced_is_read_by_name(moto_bucket: S3) -> None:
    moto_bucket.put({"a.tar": tar_bytes({"0.jpg": jpeg(0), "1.jpg": jpeg(1), "2.jpg": b""})})
    found = source(moto_bucket.uri("a.tar"))
    images = references(found)
    assert found.read(images[2]).data == b""
    moto_bucket.put({"a.tar": tar_bytes({"9.jpg": jpeg(9), "1.jpg": jpeg(7)})})
    found.reader.ahead.clear()  # type: ignore[attr-defined]
    assert found.read(images[1]).data == jpeg(7)


def test_what_is_kept_ahead_is_bounded() -> None:
    ahead = tar.Ahead()
    place = tar.Place(stamp="s", offset=0, size=3)
    ahead.keep("a", place, b"abc")
    assert not ahead.has_room(tar.AHEAD_BYTES - 2)
    assert ahead.take("a", place) == b"abc"
    assert ahead.take("a", place) is None
    assert ahead.has_room(tar.AHEAD_BYTES)
