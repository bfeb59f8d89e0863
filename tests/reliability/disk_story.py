"""Everything of embedder that writes files, done once in a folder; as a process of its own, recorded or with faults.

`python -m tests.reliability.disk_story record FOLDER LOG` records it. `… fail FOLDER STEP` plays it again and again:
every STEP-th of its calls fails, in each way that a call of its kind can. It prints a line of JSON for each case. Both
need `LD_PRELOAD`; see `disk_calls.py`.
"""

from __future__ import annotations

import errno
import io
import json
import shutil
import sqlite3
import sys
import traceback
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from embedder import EmbedderError, Report, embed
from embedder.encoders import Network
from embedder.encoders.prepared import Prepared
from embedder.pages import write_page
from embedder.records import StoredVector
from embedder.stores.sqlite import SQLiteStore
from embedder.system.files import remember
from embedder.vectors.export import write_vectors
from tests.embedder.pictures import jpeg
from tests.embedder.stand_in import PixelEncoder, replace_engines
from tests.embedder.stored import many
from tests.reliability.disk_calls import LOOKS, NAMES, READS, WRITES, Call, calls, note, unwatch, watch, what_failed

GOOD = 3
PARTS = ("one", "two")
FILES = ("failures.jsonl", "notices.jsonl", "vectors.npz", "page.html")
CACHE = ("cache/model.onnx", "cache/fastest.json")
ERRORS = {
    READS: (errno.EIO,),
    LOOKS: (errno.EIO, errno.EACCES),
    NAMES: (errno.EIO, errno.EACCES, errno.ENOSPC),
    WRITES: (errno.EIO, errno.ENOSPC),
}
"""What can happen to each kind of call."""


@dataclass(frozen=True, slots=True)
class Story:
    """A folder with images, and what embedder makes of them."""

    folder: Path

    @property
    def store(self) -> Path:
        return self.folder / "vectors.db"

    def prepare(self) -> None:
        """Make two folders of images, each with a damaged one."""
        for part in PARTS:
            (self.folder / "images" / part).mkdir(parents=True)
            for number in range(GOOD):
                (self.folder / "images" / part / f"{part}-{number}.jpg").write_bytes(jpeg(number))
            (self.folder / "images" / part / f"{part}-bad.jpg").write_bytes(jpeg(9)[:300])

    def embed(self, part: str) -> Report:
        """Embed one of the folders."""
        return embed(
            self.folder / "images" / part,
            self.store,
            weights="random",
            failures=self.folder / "failures.jsonl",
            notices=self.folder / "notices.jsonl",
            workers=1,
            batch_size=2,
            progress=False,
        )

    def export(self) -> None:
        write_vectors(self.folder / "vectors.npz", str(self.store), None)

    def draw(self, title: str) -> None:
        """Write a page, as all pages are written."""
        write_page(self.folder / "page.html", "base.html", [], data={"title": title}, store=title, random=False)

    def cache(self) -> None:
        """Keep a model, and what was found out about it, as the engines do."""
        network = cast(Network, None)  # asked for nothing here
        prepared = Prepared(network, self.folder / "cache", lambda: self.folder / "passing")
        (self.folder / "passing").mkdir(exist_ok=True)
        prepared.file("model.onnx", _write_model)
        remember(self.folder / "cache" / "fastest.json", {"fastest": "torch"})


def _write_model(part: Path) -> None:
    part.write_bytes(b"model" * 20_000)


def record(folder: Path, log: Path) -> None:
    """Make everything from the images, then once more over what is there; say in the log what is promised from when."""
    story = Story(folder)
    with log.open("wb", buffering=0) as file:
        watch(folder, file)
        for part in PARTS:
            report = story.embed(part)
            assert (report.embedded, report.failed, report.exit_code) == (GOOD, 1, 0)
            _noted(stored=[f"{part}-{number}.jpg" for number in range(GOOD)], kept=FILES[:2])
            story.export()
            _noted(kept=["vectors.npz"])
            story.draw(part)
            _noted(kept=["page.html"])
        story.cache()
        with closing(SQLiteStore(str(story.store))) as store:
            written = _write_in_pieces(store, "alone")
        _noted(**written)
        with closing(sqlite3.connect(story.store)) as reader:  # the WAL cannot be folded back while it is open
            with closing(SQLiteStore(str(story.store))) as store:
                written = _write_in_pieces(store, "beside")
                reader.execute("SELECT count(*) FROM vectors").fetchone()
            assert Path(f"{story.store}-wal").exists()
            _noted(**written)
        unwatch()


def _write_in_pieces(store: SQLiteStore, prefix: str) -> dict[str, list[str]]:
    """Write vectors in several transactions, and delete one of them; return what is promised once it is closed."""
    written = []
    for number in range(3):
        vectors = many(2, f"{prefix}-{number}-")
        store.write(vectors)
        written += [each.image_id for each in vectors]
    store.delete(written[:1])
    return {"stored": written[1:], "deleted": written[:1]}


def _noted(**promised: Any) -> None:
    note(json.dumps(promised))


def stored(path: Path) -> dict[str, StoredVector]:
    """Return a store's vectors, after a look whether the file is sound."""
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with closing(SQLiteStore(str(path))) as store:
        ids = [each.image_id for each in store.describe()]
        return {each.image_id: each for each in store.get(ids)}


@dataclass(frozen=True, slots=True)
class Failing:
    """Plays a short story in fresh folders, with one fault in each."""

    folder: Path
    right: dict[str, bytes]

    def case(self, number: int, error: int, *, full: bool) -> dict[str, Any]:
        """Let one call fail, look at what is left, and play again without a fault."""
        folder = self.folder / f"{number}-{error}-{full:d}"
        story = Story(folder)
        _begin(story)
        ended, wrong, report = "", "", None
        watch(folder, number=number, error=error, full=full)
        try:
            report = story.embed("one")
            story.export()
            ended = str(report.exit_code)
        except EmbedderError as refused:
            ended = type(refused).__name__
        except Exception:  # a bug, which the test that reads this counts
            wrong = traceback.format_exc()
        finally:
            unwatch()
        failed = what_failed()
        try:
            self._check(story, report, exported=ended.isdigit())
            self._check(story, _play(story), exported=True)
            assert stored(story.store).keys() == self.right.keys()
            left = {each.name for each in folder.iterdir()} - {"images", "vectors.db", *FILES[:3]}
            assert not left or failed.startswith("unlink"), left
        except Exception:
            wrong += traceback.format_exc()
        shutil.rmtree(folder)
        return {
            **{"call": number, "error": errno.errorcode[error], "full": full},
            **{"failed": failed, "ended": ended, "wrong": wrong},
        }

    def _check(self, story: Story, report: Report | None, *, exported: bool) -> None:
        """Look at the files of a run that has ended, with its report or, without one, early."""
        found = {name: each.vector for name, each in stored(story.store).items()}
        assert found.items() <= self.right.items()
        failures = (story.folder / "failures.jsonl").read_text()
        listed = [] if failures == "old\n" else [json.loads(line)["image_id"] for line in failures.splitlines()]
        vectors = (story.folder / "vectors.npz").read_bytes()
        if vectors != b"old":
            with np.load(io.BytesIO(vectors)) as arrays:
                ids, rows = map(str, arrays["ids"]), [each.tobytes() for each in arrays["vectors"]]
                assert dict(zip(ids, rows, strict=True)) == found
        assert (vectors != b"old") >= exported
        if report:
            assert report.images == report.embedded + report.skipped + report.failed
            assert (len(found), len(listed)) == (report.embedded + report.skipped, report.failed)


def _begin(story: Story) -> None:
    story.prepare()
    (story.folder / "failures.jsonl").write_text("old\n")
    (story.folder / "vectors.npz").write_bytes(b"old")


def _play(story: Story) -> Report:
    report = story.embed("one")
    story.export()
    return report


def fail(folder: Path, step: int) -> None:
    """Let every `step`-th of all cases happen, and print them."""
    sound = Story(folder / "sound")
    _begin(sound)
    with (folder / "log").open("wb", buffering=0) as file:
        watch(sound.folder, file)
        _play(sound)
        unwatch()
    seen = [each for each in calls((folder / "log").read_bytes()) if each.name == "call"]
    failing = Failing(folder, {name: each.vector for name, each in stored(sound.store).items()})
    cases = [(each.numbers[1], error, False) for each in seen for error in ERRORS[each.numbers[0]]]
    cases += [(each.numbers[1], errno.ENOSPC, True) for each in seen if each.numbers[0] == WRITES]
    print(json.dumps({"calls": len(seen), "kinds": Counter(_kind(each) for each in seen), "cases": len(cases)}))
    for number, error, full in sorted(cases)[::step]:
        print(json.dumps(failing.case(number, error, full=full)), flush=True)


def _kind(call: Call) -> str:
    return call.data.decode()


if __name__ == "__main__":
    replace_engines(PixelEncoder().open)
    if sys.argv[1] == "record":
        record(Path(sys.argv[2]), Path(sys.argv[3]))
    else:
        fail(Path(sys.argv[2]), int(sys.argv[3]))
