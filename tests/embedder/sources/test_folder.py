"""Folders as people have them: nested, linked, oddly named, in part unreadable."""

from __future__ import annotations

import hashlib
import os
import socket
from pathlib import Path

import pytest

from embedder.errors import ConfigurationError, ImageError
from embedder.records import Reference
from tests.embedder.listed import failures, ids, references, source
from tests.embedder.pictures import jpeg, put


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "pictures"
    path.mkdir()
    return path


def test_images_come_sorted_and_from_all_depths(folder: Path) -> None:
    put(folder, "b.jpg", "a.jpg", "cats/2.jpg", "cats/1.jpg", "cats/more/deep/1.jpg", "dogs/1.jpg")
    expected = ["a.jpg", "b.jpg", "cats/1.jpg", "cats/2.jpg", "cats/more/deep/1.jpg", "dogs/1.jpg"]
    assert ids(folder) == expected
    assert ids(folder) == expected
    assert ids(f"{folder}/") == expected


def test_references_say_where_the_image_is(folder: Path) -> None:
    (path,) = put(folder, "cats/a b#1%.jpg")
    (found,) = references(source(folder))
    assert found.image_id == "cats/a b#1%.jpg"
    assert found.uri == f"file://{folder}/cats/a%20b%231%25.jpg"
    assert found.size == path.stat().st_size
    assert found.etag is None
    sample = source(folder).read(found)
    assert sample.data == path.read_bytes()
    assert sample.reference.etag == hashlib.md5(sample.data).hexdigest()


def test_suffixes_are_read_in_any_case_and_the_rest_is_counted(folder: Path) -> None:
    put(folder, "a.JPG", "b.Jpeg", "c.jpg", "d.heic", "e.heic", "f", "notjpg", "g.jpg.txt")
    found = source(folder)
    assert [each.image_id for each in references(found)] == ["a.JPG", "b.Jpeg", "c.jpg"]
    assert found.ignored == {".heic": 2, "(no suffix)": 2, ".txt": 1}


def test_hidden_files_and_those_of_macs_are_ignored_by_reason(folder: Path) -> None:
    put(
        folder, "a.jpg", "._a.jpg", ".b.jpg", "__MACOSX/x.jpg", "@eaDir/t.jpg", ".thumbnails/1.jpg", ".thumbnails/2.jpg"
    )
    put(folder, "in/Thumbs.db", "in/..c.jpg")
    found = source(folder)
    assert [each.image_id for each in references(found)] == ["a.jpg"]
    assert found.ignored == {"AppleDouble": 2, "hidden": 5}  # the folders count once
    everything = source(folder, hidden=True)
    expected = [".b.jpg", ".thumbnails/1.jpg", ".thumbnails/2.jpg", "@eaDir/t.jpg", "a.jpg", "in/..c.jpg"]
    assert [each.image_id for each in references(everything)] == expected
    assert everything.ignored == {"AppleDouble": 2, ".db": 1}


def test_a_hidden_folder_or_file_that_is_named_is_read(folder: Path) -> None:
    put(folder, ".secret/1.jpg", ".secret/.2.jpg")
    assert ids(folder / ".secret") == ["1.jpg"]
    assert ids(folder / ".secret" / ".2.jpg") == [".2.jpg"]


def test_other_suffixes_can_be_asked_for(folder: Path) -> None:
    put(folder, "a.jpg", "b.heic")
    assert ids(folder, suffixes="HEIC") == ["b.heic"]
    assert ids(folder, suffixes=".heic, jpg") == ["a.jpg", "b.heic"]


def test_a_loop_of_links_ends(folder: Path) -> None:
    put(folder, "a/1.jpg")
    (folder / "a" / "loop").symlink_to(folder)
    (folder / "self").symlink_to(folder / "self")
    found = source(folder)
    assert [each.image_id for each in references(found)] == ["a/1.jpg"]
    assert found.ignored["link to a folder above it"] == 1


def test_links_are_followed(folder: Path, tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", "1.jpg")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    (folder / "one.jpg").symlink_to(tmp_path / "elsewhere" / "1.jpg")
    assert ids(folder) == ["linked/1.jpg", "one.jpg"]
    top = tmp_path / "top"
    top.symlink_to(folder)
    assert ids(top) == ["linked/1.jpg", "one.jpg"]


def test_what_is_no_file_is_a_failure_and_not_a_hang(folder: Path) -> None:
    put(folder, "a.jpg", "b.jpg/inside.jpg")
    os.mkfifo(folder / "pipe.jpg")
    (folder / "broken.jpg").symlink_to(folder / "nowhere")
    (folder / "loop.jpg").symlink_to(folder / "loop.jpg")
    listening = socket.socket(socket.AF_UNIX)
    here = os.getcwd()
    os.chdir(folder)  # the address of a socket has a length limit
    listening.bind("socket.jpg")
    os.chdir(here)
    assert failures(source(folder)) == {
        "broken.jpg": ("list", "Unreadable"),
        "loop.jpg": ("list", "Unreadable"),
        "pipe.jpg": ("list", "NotAFile"),
        "socket.jpg": ("list", "NotAFile"),
    }
    listed = [each.image_id for each in source(folder).references() if isinstance(each, Reference)]
    assert listed == ["a.jpg", "b.jpg/inside.jpg"]
    listening.close()


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(folder: Path) -> None:
    (path,) = put(folder, "a.jpg")
    found = source(folder)
    (reference,) = references(found)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(ImageError) as caught:
        found.read(reference)
    assert caught.value.error == "NotAFile"


def test_a_file_that_goes_before_it_is_read_is_a_failure(folder: Path) -> None:
    (path,) = put(folder, "a.jpg")
    found = source(folder)
    (reference,) = references(found)
    path.unlink()
    with pytest.raises(ImageError) as caught:
        found.read(reference)
    assert (caught.value.error, caught.value.transient) == ("Unreadable", False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_folder_is_a_failure_and_the_others_go_on(folder: Path) -> None:
    put(folder, "a/1.jpg", "b/1.jpg", "c.jpg")
    (folder / "a").chmod(0)
    (folder / "c.jpg").chmod(0)
    try:
        found = source(folder)
        assert failures(found) == {"a/": ("list", "Unreadable")}
        good = [each for each in found.references() if isinstance(each, Reference)]
        assert [each.image_id for each in good] == ["b/1.jpg", "c.jpg"]
        with pytest.raises(ImageError) as caught:
            found.read(good[-1])
        assert caught.value.error == "Unreadable"
    finally:
        (folder / "a").chmod(0o755)


def test_a_folder_that_vanishes_is_a_failure(folder: Path) -> None:
    put(folder, "a/1.jpg", "b/1.jpg")
    found = source(folder).references()
    first = next(found)
    assert first.image_id == "a/1.jpg"
    (folder / "b" / "1.jpg").unlink()
    (folder / "b").rmdir()
    assert [(each.image_id, getattr(each, "error", "")) for each in found] == [("b/", "Unreadable")]


def test_odd_names_are_ids_as_they_are(folder: Path) -> None:
    odd = [
        "line\nbreak.jpg",
        "🐈.jpg",
        'it\'s "quoted".jpg',
        "100%_*?[a].jpg",
        "back\\slash.jpg",
        " .jpg",
        "a\u2028b.jpg",
    ]
    paths = put(folder, *odd)
    found = source(folder)
    listed = references(found)
    assert sorted(each.image_id for each in listed) == sorted(odd)
    data = {path.name: path.read_bytes() for path in paths}
    assert {each.image_id: found.read(each).data for each in listed} == data


def test_names_that_are_not_utf8_are_written_out(folder: Path) -> None:
    name = os.path.join(os.fsencode(folder), b"caf\xe9.jpg")
    with open(name, "wb") as file:
        file.write(jpeg())
    found = source(folder)
    (reference,) = references(found)
    assert reference.image_id == r"caf\xe9.jpg"
    assert reference.uri.endswith("/caf%E9.jpg")
    assert found.read(reference).data == jpeg()


def test_two_names_never_share_an_id(folder: Path) -> None:
    with open(os.path.join(os.fsencode(folder), b"caf\xe9.jpg"), "wb") as file:
        file.write(jpeg(1))
    put(folder, r"caf\xe9.jpg")
    found = list(source(folder).references())
    assert [type(each).__name__ for each in found] in (["Reference", "Failure"], ["Failure", "Reference"])


def test_one_file_is_a_source(folder: Path) -> None:
    put(folder, "cats/a.jpg", "cats/b.heic")
    assert ids(folder / "cats" / "a.jpg") == ["a.jpg"]
    assert ids(folder / "cats" / "b.heic") == ["b.heic"]
    assert source(folder / "cats" / "a.jpg").total == 1


def test_ids_can_be_uris_or_stems(folder: Path) -> None:
    put(folder, "cats/1.jpg", "2.tar.jpg")
    assert ids(folder, image_id="uri") == [f"file://{folder}/2.tar.jpg", f"file://{folder}/cats/1.jpg"]
    assert ids(folder, image_id="stem") == ["2.tar", "1"]


def test_two_files_with_one_stem_are_named(folder: Path) -> None:
    put(folder, "cats/1.jpg", "dogs/1.png")
    with pytest.raises(ConfigurationError, match=r"cats/1\.jpg and .*dogs/1\.png .*'1'"):
        source(folder, image_id="stem").references()


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no file or folder"):
        source(tmp_path / "nowhere")
    with pytest.raises(ConfigurationError, match="is not a source"):
        source("https://example.com/pictures")
