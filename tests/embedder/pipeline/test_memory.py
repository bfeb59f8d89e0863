"""Peak memory does not grow with the number of images."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli import ROOT
from tests.embedder.pictures import jpeg

MEGABYTES_APART = {3000: 60, 6000: 100}
"""How much more memory so many images may take than 300."""

# The whole run but for the model, which makes the long form long and always takes the same memory.
WITHOUT_MODEL = """
import sys
from tests.embedder.limits import peak_megabytes
from embedder import embed
from tests.embedder.stand_in import PixelEncoder, replace_engines
replace_engines(PixelEncoder().open)
report = embed(sys.argv[1], sys.argv[2], weights="random")
assert report.embedded == report.images == int(sys.argv[3]), report
print(peak_megabytes())
"""

WITH_MODEL = """
import sys
from tests.embedder.limits import peak_megabytes
from embedder.cli import main
assert main(["run", sys.argv[1], "--store", sys.argv[2], "--weights", "random", "--quiet"]) == 0
from embedder.vectors.summary import info
assert info(sys.argv[2]).count == int(sys.argv[3])
print(peak_megabytes())
"""


def folder_of(count: int, folder: Path) -> Path:
    """A folder of `count` images, of fifty contents."""
    folder.mkdir()
    for number in range(min(count, 50)):
        (folder / f"{number:05d}.jpg").write_bytes(jpeg(number, (500, 375)))
    for number in range(50, count):
        os.link(folder / f"{number % 50:05d}.jpg", folder / f"{number:05d}.jpg")
    return folder


def peak(script: str, count: int, folder: Path) -> float:
    """Peak resident memory of a run, in megabytes."""
    images = folder_of(count, folder / f"images-{count}")
    arguments = [str(images), str(folder / f"{count}.db"), str(count)]
    command = [sys.executable, "-c", script, *arguments]
    output = subprocess.check_output(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True)
    return float(output.splitlines()[-1])


def test_memory_of_everything_but_the_model(tmp_path: Path) -> None:
    few, many = peak(WITHOUT_MODEL, 300, tmp_path), peak(WITHOUT_MODEL, 3000, tmp_path)
    print(f"300 images: {few:.0f} MB; 3,000 images: {many:.0f} MB")
    assert many - few < MEGABYTES_APART[3000]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_memory_of_a_whole_run(tmp_path: Path) -> None:
    peak(WITH_MODEL, 20, tmp_path)  # the first run makes the model ready, for which it needs torch
    few, many = peak(WITH_MODEL, 300, tmp_path), peak(WITH_MODEL, 6000, tmp_path)
    print(f"300 images: {few:.0f} MB; 6,000 images: {many:.0f} MB")
    assert many - few < MEGABYTES_APART[6000]
