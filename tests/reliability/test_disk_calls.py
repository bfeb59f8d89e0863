"""The power is cut after any call, or a call fails: what was promised is there, and the next run makes the rest.

A library that is loaded before all others sees the calls of Python and of SQLite alike; see `disk_calls.py`.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from embedder.records import StoredVector
from embedder.stores.sqlite import SQLiteStore
from tests.cli import ROOT
from tests.embedder.stored import many
from tests.parts.missing import missing
from tests.reliability.disk_calls import build, calls
from tests.reliability.disk_story import CACHE, FILES, Story, stored
from tests.reliability.power_cuts import Cut, Files, Name, Note, Recording, Step, read_files, write_files


def play(folder: Path, *words: object) -> str:
    """Run the story in a process of its own, with the library that sees its calls; return what it prints."""
    if shutil.which("cc") is None:
        missing("there is no C compiler: run `scripts/setup --parts compiler`")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "LD_PRELOAD": str(build(folder))}
    command = [sys.executable, "-m", "tests.reliability.disk_story", *map(str, words)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(slots=True)
class Promises:
    """What has to be on the disk from a step on.

    Attributes:
        stored: whether each vector that was spoken of is there.
        kept: the content of each file; None if there is none yet.
    """

    stored: dict[str, bool] = field(default_factory=dict)
    kept: dict[Path, bytes | None] = field(default_factory=dict)

    def after(self, text: str, files: Files, folder: Path) -> Promises:
        """Return them after a note of the recorded process, and the files as the process saw them then."""
        said = json.loads(text)
        stored = dict.fromkeys(said.get("stored", ()), True) | dict.fromkeys(said.get("deleted", ()), False)
        return Promises(
            self.stored | stored, self.kept | {folder / each: files[folder / each] for each in said.get("kept", ())}
        )


@dataclass(frozen=True, slots=True)
class Checker:
    """Looks at what a power cut left, and lets the next run go over it."""

    recording: Recording
    right: dict[str, StoredVector]
    folder: Path

    def promises(self) -> list[Promises]:
        """Return what is promised before each step, and after the last one."""
        found = [Promises(kept={self.recording.folder / each: None for each in FILES})]
        for number, step in enumerate(self.recording.steps, 1):
            last = found[-1]
            if isinstance(step, Note):
                last = last.after(step.text, self.recording.files(Cut(number)), self.recording.folder)
            found.append(last)
        return found

    def check(self, disk: Files, now: Promises, soon: Sequence[Promises]) -> None:
        """Compare a disk with what was promised when the power was cut, and what would have been promised next."""
        for path, content in now.kept.items():
            later = next((each.kept[path] for each in soon if each.kept[path] != content), content)
            assert disk.get(path) in (content, later), f"{path.name} is neither the old nor the new one"
        for each in CACHE:
            made = self.recording.folder / each
            assert disk.get(made) in (None, made.read_bytes()), f"{each} is there and not whole"
        folder = self.folder
        for old in sorted(folder.rglob("*"), reverse=True):
            old.rmdir() if old.is_dir() else old.unlink()
        write_files(disk, self.recording.folder, folder)
        store = folder / "vectors.db"
        found = stored(store)
        then = next((each.stored for each in soon if each.stored != now.stored), now.stored)
        wrong = {each for each, there in now.stored.items() if (each in found) not in (there, then[each])}
        assert wrong == set(), "a vector is gone, or a deleted one has come back"
        assert all(self.right[name].vector == each.vector for name, each in found.items())
        with closing(SQLiteStore(str(store))) as opened:
            opened.prepare()
            missing = [each for name, each in self.right.items() if name not in opened.lookup(list(self.right))]
            opened.write(missing)
        assert {name: each.vector for name, each in stored(store).items()} == {
            name: each.vector for name, each in self.right.items()
        }
        assert not Path(f"{store}-wal").exists()


def record(folder: Path) -> Checker:
    """Record the story, and make sure that nothing of it was missed."""
    story = Story(folder / "recorded")
    story.prepare()
    before = read_files(story.folder)
    play(folder, "record", story.folder, folder / "log")
    recording = Recording.of(story.folder, before, calls((folder / "log").read_bytes()))
    assert recording.files(Cut(len(recording.steps))) == read_files(story.folder)
    (folder / "cut").mkdir()
    deleted = {each.image_id: each for prefix in ("alone", "beside") for each in many(1, f"{prefix}-0-")}
    return Checker(recording, stored(story.store) | deleted, folder / "cut")


@pytest.mark.timeout(0)
@pytest.mark.parametrize("step", [pytest.param(120, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)])
def test_the_power_may_be_cut_after_every_call(tmp_path: Path, step: int) -> None:
    checker = record(tmp_path)
    recording, promises, chance = checker.recording, checker.promises(), random.Random(18)
    cases = [cut for moment in range(len(promises)) for cut in recording.cuts(moment, chance)]
    tried = cases[chance.randrange(step) :: step]
    for cut in tried:
        try:
            checker.check(recording.files(cut), promises[cut.step], promises[cut.step :])
        except BaseException as error:
            error.add_note(describe(recording, cut))
            raise
    print(f"{len(tried)} of {len(cases)} disks, from {len(promises)} moments")


def describe(recording: Recording, cut: Cut) -> str:
    """Say what was done before a cut, and what of it is missing."""
    lines = [f"the power is cut after step {cut.step}"]
    for number in sorted({*range(max(cut.step - 3, 0), cut.step), *cut.missing}):
        word = "missing" if number in cut.missing else "done"
        lines.append(f"{word} {number}: {_named(recording, recording.steps[number])}")
    return "\n".join(lines)


def _named(recording: Recording, step: Step) -> str:
    match step:
        case Note(text):
            return text
        case Name(path, named, before):
            return f"{'name' if named else 'unlink'} {path.name} {before.name if before else ''}"
    name = next((each.path.name for each in recording.steps if isinstance(each, Name) and each.file is step.file), "")
    return f"{type(step).__name__.lower()} {name} {getattr(step, 'at', '')}"


@pytest.mark.timeout(0)
@pytest.mark.parametrize("step", [pytest.param(125, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)])
def test_every_call_to_the_disk_may_fail_once(tmp_path: Path, step: int) -> None:
    (tmp_path / "worlds").mkdir()
    planned, *tried = map(json.loads, play(tmp_path, "fail", tmp_path / "worlds", step).splitlines())
    failed: list[dict[str, Any]] = [each for each in tried if each["failed"]]
    print(f"{len(failed)} of {planned['cases']} faults in {planned['calls']} calls: {planned['kinds']}")
    print(Counter(each["ended"] for each in failed))
    assert len(failed) > 0.9 * len(tried), "the calls have another order each time, but nearly all of them are made"
    assert [each for each in failed if each["wrong"]] == []
