"""Memory and descriptors run short: what is held stays within the stated bound, and nothing leaks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.cli import ROOT
from tests.embedder.pictures import encoded, jpeg

MEASURED = """
import json, os, resource, sys, threading, time
import psutil
from embedder import embed
from tests.embedder.stand_in import PixelEncoder, replace_engines
replace_engines(PixelEncoder().open)
options = json.loads(sys.argv[3])
if files := options.pop("descriptors", None):
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
me, peak, most, running = psutil.Process(), [0, 0], [0], [True]
def watch():
    while running[0]:
        try:
            family = [me, *me.children()]
            peak[0] = max(peak[0], sum(each.memory_info().rss for each in family))
            most[0] = max(most[0], me.num_fds())
        except psutil.NoSuchProcess:
            pass
        time.sleep(0.03)
before = me.num_fds()
watcher = threading.Thread(target=watch, daemon=True)  # where embed raises, nobody ends it
watcher.start()
report = embed(sys.argv[1], sys.argv[2], weights="random", **options)
running[0] = False
watcher.join()
print(json.dumps({"embedded": report.embedded, "causes": report.failures_by_cause, "megabytes": peak[0] >> 20,
                  "descriptors": most[0], "left": me.num_fds() - before, "children": len(me.children())}))
"""


def started(source: Path, script: str = MEASURED, **options: Any) -> subprocess.CompletedProcess[str]:
    """Embed a folder in a process of its own, with a model that costs nothing."""
    command = [sys.executable, "-c", script, str(source), str(source.parent / "vectors.db"), json.dumps(options)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1500)


def measured(source: Path, script: str = MEASURED, **options: Any) -> dict[str, Any]:
    """Return what embedding a folder came to, and what it took at its peak."""
    done = started(source, script, **options)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(found)
    return found


def stripes(width: int, height: int) -> Image.Image:
    rows = np.random.default_rng(1).integers(0, 256, (height, 1, 3), dtype=np.uint8)
    return Image.fromarray(np.broadcast_to(rows, (height, width, 3)).copy())


def large(folder: Path, side: int, copies: int) -> int:
    """Fill a folder with large images of every costly kind, and return the most that one of them needs."""
    folder.mkdir()
    image = stripes(side, side)
    kinds = {
        "plain.png": (encoded(image, "PNG", compress_level=1), 12),
        "progressive.jpg": (encoded(image, "JPEG", progressive=True, subsampling=0), 8),
        "plain.jpg": (encoded(image, "JPEG"), 8),
        "plain.gif": (encoded(image.quantize(8), "GIF"), 12),
    }
    if side <= 16383:
        kinds["plain.webp"] = (encoded(image, "WEBP", method=0, quality=50), 20)
    for name, (data, _) in kinds.items():
        for number in range(copies):
            (folder / f"{number}-{name}").write_bytes(data)
    return max(side * side * bytes_each for _, bytes_each in kinds.values())


DECODED_BYTES = 1 << 30
FILE_BYTES = 256 << 20
FREE_BYTES = 64 << 20
IDLE_MEGABYTES = 250
"""A process with boto3, numpy and SQLite, and a little for each of its children."""


def bound(largest: int, files: int, workers: int) -> int:
    """The formula of docs/reliability.md, in megabytes, without the model."""
    queues = min(files * 2, 2 * FILE_BYTES)
    decoding = max(DECODED_BYTES, largest) + workers * FREE_BYTES
    return (queues + decoding) // (1 << 20) + IDLE_MEGABYTES + 50 * workers


def check_large(folder: Path, side: int, copies: int, workers: int) -> None:
    largest = large(folder, side, copies)
    files = sum(path.stat().st_size for path in folder.iterdir())
    found = measured(folder, workers=workers)
    assert found["embedded"] == len(list(folder.iterdir()))
    limit = bound(largest, files, workers)
    print(f"{found['megabytes']} MB of {limit} MB allowed; all at once would be {workers * largest >> 20} MB more")
    assert found["megabytes"] < limit
    assert found["children"] == 0


def test_large_images_stay_within_the_bound(tmp_path: Path) -> None:
    check_large(tmp_path / "images", 5000, copies=2, workers=6)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_hundred_megapixel_images_stay_within_the_bound(tmp_path: Path) -> None:
    check_large(tmp_path / "images", 10_000, copies=4, workers=4)


def folder_of(folder: Path, good: int, bad: int) -> Path:
    folder.mkdir()
    (folder / "good.jpg").write_bytes(jpeg(1))
    (folder / "bad.jpg").write_bytes(jpeg(1)[:300])
    for number in range(good - 1):
        os.link(folder / "good.jpg", folder / f"good-{number}.jpg")
    for number in range(bad - 1):
        os.link(folder / "bad.jpg", folder / f"bad-{number}.jpg")
    return folder


DESCRIPTORS = 64


def test_a_few_descriptors_are_enough_for_any_number_of_images(tmp_path: Path) -> None:
    found = measured(folder_of(tmp_path / "images", 600, 600), workers=4, descriptors=DESCRIPTORS)
    assert found["embedded"] == 600
    assert found["causes"] == {"decode: Corrupt": 600}
    assert found["descriptors"] < DESCRIPTORS
    assert found["left"] <= 0
    assert found["children"] == 0


CRASHING = MEASURED.replace(
    "options = json.loads",
    """from embedder.decoding import processes
sabotage = "import os; from embedder.decoding.decoder import Decoder; Decoder.decode = lambda *_: os._exit(3); serve()"
processes.START = processes.START.replace("serve()", sabotage)
options = json.loads""",
    1,
)


def test_children_that_crash_leave_no_descriptor_behind(tmp_path: Path) -> None:
    """Each crash is a new child, with two pipes and a selector: 30 of them would take 90 descriptors."""
    found = measured(folder_of(tmp_path / "images", 29, 1), CRASHING, workers=2, descriptors=DESCRIPTORS)
    assert found["causes"] == {"decode: Crashed": 30}
    assert found["left"] <= 0
    assert found["children"] == 0


def test_without_descriptors_the_run_says_so(tmp_path: Path) -> None:
    done = started(folder_of(tmp_path / "images", 60, 1), workers=16, descriptors=24)
    assert done.returncode == 1
    *_, last = done.stderr.strip().splitlines()
    assert "ConfigurationError: a process for decoding cannot be started: Too many open files" in last
    assert "fewer --workers" in last
