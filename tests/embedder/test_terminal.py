"""What a person sees in a terminal of 80 columns."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from embedder import Embedder, embed
from embedder.commands.doctor import show
from embedder.config import origin
from embedder.doctor import Result
from embedder.logs import open_log
from embedder.records import Pixels, Vectors
from embedder.system.steps import step
from embedder.terminal.bars import steps_on_terminal
from tests.embedder.commands import command
from tests.embedder.pictures import put
from tests.embedder.stand_in import PixelEncoder, only_engine
from tests.embedder.stored import fill, many, stored
from tests.embedder.terminals import in_terminal, on_terminal

PUBLISHED = "resnet18/f37072fd/pre1/float32"
RUN = ("run", "images", "--weights", "random", "--store", "v.db")


class SlowEncoder(PixelEncoder):
    """A model that takes its time, as real ones do."""

    def open(self, *arguments: Any) -> PixelEncoder:
        time.sleep(0.9)
        return super().open(*arguments)

    def encode(self, pixels: Pixels) -> Vectors:
        time.sleep(0.2 * len(pixels))
        return super().encode(pixels)


@pytest.fixture
def slow() -> Iterator[None]:
    with only_engine(SlowEncoder().open):
        yield


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.mark.usefixtures("slow")
def test_a_run_shows_a_total_its_steps_and_an_outcome() -> None:
    put(Path("images"), *(f"{number}.jpg" for number in range(9)))
    Path("images", "broken.jpg").write_text("<html>")
    Path("images", "a.heic").touch()
    # The broken file is the last one, and few are decoded ahead: it cannot fail before the model is loaded.
    first = in_terminal(*RUN, "--batch-size", "1", "--workers", "1")
    assert first.returncode == 0
    bars = [each for each in first.frames if " of 10" in each and "|" in each]
    assert "  0% |" in bars[0], "there is a total while the model is being loaded"
    assert any("1 failed" in each and re.search(r"\d/s, \d+ s left", each) for each in bars)
    assert any(each.startswith("loading resnet18") for each in first.frames)
    assert max(map(len, first.frames)) <= 80
    assert re.fullmatch(r"9 of 10 embedded in \d\.\d s \(\d\.\d/s\), stored in v\.db", first.left[0])
    assert "the others: 1 failed" in first.left
    assert "failed: broken.jpg (decode): NotAnImage: not an image: an HTML page" in first.left
    assert "seconds" not in first.raw, "those of threads are for --json"
    assert "\x1b[31mfailed\x1b[0m" in first.raw
    Path("images", "broken.jpg").unlink()
    assert in_terminal(*RUN).left[0] == "Nothing to do: all 9 images are in v.db already."


@pytest.mark.usefixtures("slow")
def test_python_shows_the_same_steps_unless_told_not_to() -> None:
    put(Path("images"), "1.jpg")

    def run() -> int:
        return embed("images", "v.db", weights="random").exit_code

    def make(*, progress: bool) -> int:
        Embedder(weights="random", progress=progress).close()
        return 0

    run_shown, made, quiet = on_terminal(run), on_terminal(partial(make, progress=True)), partial(make, progress=False)
    assert any("0 of 1" in each for each in run_shown.frames)
    for shown in (run_shown, made):
        assert any(re.match(r"loading resnet18, \d s", each) for each in shown.frames), shown.raw
        assert not shown.left
    assert on_terminal(quiet).raw == ""


def test_a_long_address_leaves_room_for_its_bar_and_a_library_says_nothing() -> None:
    def download() -> int:
        open_log(as_json=False, origin=origin(None))
        with (
            steps_on_terminal(),
            step(f"downloading https://hub/{'x' * 80}/a.bin", total=9_000_000, unit="B") as advance,
        ):
            advance(3_000_000)
            logging.getLogger("httpx").info("HTTP Request: GET")
            logging.getLogger("embedder").info("ours")
            time.sleep(0.7)
        return 0

    said, *bars = on_terminal(download).frames
    assert said.endswith(" ours")
    assert re.fullmatch(r" 33% \|█\S*\s+\| downloading https\S+…\S+/a\.bin, 3\.0 of 9\.0 MB", bars[-1]), bars
    assert len(bars[-1]) <= 80


def test_a_run_whose_every_image_fails(encoder: PixelEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("images").mkdir()
    for number in range(3):
        Path("images", f"{number}.jpg").write_text("<html>")
    found = in_terminal(*RUN)
    assert (found.returncode, found.left[0]) == (65, "None of 3 images could be embedded.")
    assert "v.db" not in found.raw
    assert not Path("v.db").exists()
    quiet = command(*RUN, "--quiet")
    assert (quiet.stdout, quiet.stderr.count("\n")) == ("", 1)
    assert "None of 3 images could be embedded (3 decode: NotAnImage)" in quiet.stderr
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in in_terminal(*RUN).raw
    assert not encoder.batches


def test_tables_fit_a_terminal_and_are_whole_in_a_pipe() -> None:
    long = "folder/" * 15 + "the end of it.jpg"
    fill("v.db", [stored(long, 3, fingerprint=PUBLISHED), *many(30, fingerprint=PUBLISHED)])
    assert in_terminal("read", "v.db").left[-1] == "… and 11 more; --out vectors.npz writes them all"
    shown = in_terminal("read", "v.db", "image-00003", long)
    assert [line.split()[0] for line in shown.left] == ["image", "image-00003", shown.left[2].split()[0]]
    assert "…" in shown.left[2]
    assert max(map(len, shown.left)) <= 80
    assert "\x1b[1mimage" in shown.raw
    head, first, _ = in_terminal("similar", "v.db", "image-00003", "-k", "2").left
    assert (head.split(), first.split()) == (["cosine", "image"], ["1.0000", "image-00003"])
    assert long in command("similar", "v.db", long).stdout


def test_groups_of_duplicates_have_heads_and_ten_members() -> None:
    members = [(f"{group}-{number:02}", group) for group in (1, 2) for number in range(13)]
    fill("d.db", [stored(*each, fingerprint=PUBLISHED) for each in members])
    found = in_terminal("duplicates", "d.db")
    assert found.left[:3] == ["group 1: 13 images", "    keep  1-00", "  1.0000  1-01"]
    assert found.left[11:13] == ["          … and 3 more", "group 2: 13 images"]
    assert "more" not in command("duplicates", "d.db").stdout
    assert len(command("duplicates", "d.db").stdout.splitlines()) == 26


@pytest.mark.usefixtures("encoder")
def test_pages_and_files_say_where_to_look(tmp_path: Path) -> None:
    put(Path("images"), *(f"{number}.jpg" for number in range(4)))
    command(*RUN)
    assert in_terminal("gallery", "v.db").left[-1] == f"Open file://{tmp_path}/gallery.html"
    for words in (("similar", "v.db", "1.jpg", "--html"), ("read", "v.db", "--out"), ("duplicates", "v.db", "--csv")):
        assert in_terminal(*words, "a b.csv").left[-1] == f"Open file://{tmp_path}/a%20b.csv"


def test_what_doctor_says_fits() -> None:
    result = Result(check="weights", status="failed", found="the file " * 20, remedy=f"copy it to {'/folder' * 7}")

    def show_result() -> int:
        show(result)
        return 0

    found = on_terminal(show_result, columns=60)
    assert max(map(len, found.left)) <= 60
    assert found.left[-1].strip() == "/folder" * 7
    assert "\x1b[31mfailed" in found.raw
