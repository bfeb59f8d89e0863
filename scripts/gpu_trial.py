"""Tries everything that needs a GPU, and prints one table; see scripts/gpu.

Every step is a process of its own. A step that fails, or for which no time is left, is a row that says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts import gpu_wheels

ROOT = Path(__file__).parents[1]
TESTS = "tests/embedder/encoders/test_cuda.py"
REHEARSED = "does_not_fit or not_taken"
"""The tests for the rehearsal: a CPU takes a minute for half precision."""
DISTINCT = 256
"""Pictures that are made where no folder is named; they are taken in turn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the table."""

    title: str
    rate: float | None = None
    """Images a second."""
    note: str = ""

    def __str__(self) -> str:
        rate = "" if self.rate is None else f"{self.rate:.1f}"
        return f"| {self.title} | {rate} | {self.note} |"


class Trial:
    """Runs the steps one after the other while there is time.

    Args:
        folder: for everything that is written.
    """

    def __init__(self, given: argparse.Namespace, folder: Path) -> None:
        self.given = given
        self.until = time.monotonic() + 60 * given.minutes
        self.weights = folder / "weights.pth"
        self.env = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder / "packages")]),
            "XDG_CACHE_HOME": str(folder / "cache"),
        }
        self.rows: list[Row] = []
        self.photographs = folder / "photographs"
        self.few = folder / "few"
        """Fewer of them, for what is slow."""

    def prepare(self, folder: Path) -> None:
        """Make the weights, and one folder of links to photographs for each kind of step."""
        from scripts.gpu_material import write_pictures, write_weights

        write_weights(self.weights)
        photos = self.given.photos
        found = (
            sorted(each for each in photos.rglob("*") if each.suffix.lower() in (".jpg", ".jpeg"))
            if photos
            else write_pictures(folder / "made", min(self.given.images, DISTINCT))
        )
        for flat, count in ((self.photographs, self.given.images), (self.few, max(1, self.given.images // 5))):
            flat.mkdir()
            for number in range(count):
                (flat / f"{number:06d}.jpg").symlink_to(found[number % len(found)].resolve())

    def tests(self) -> None:
        """Run the tests of the GPU's encoder."""
        chosen = ["-k", REHEARSED] if self.given.device == "cpu" else []
        options = [*chosen, "-q", "-p", "no:cacheprovider", "--noconftest", "-c", os.devnull, "--rootdir", str(ROOT)]
        said = self._run("tests", ["-m", "pytest", *options, "-p", "scripts.gpu_material", TESTS], seconds=150)
        if said is not None:
            self.rows.append(Row(title="tests", note=said.strip().splitlines()[-1].strip("= ")))

    def contestant(self, name: str, title: str, photographs: Path, *more: str) -> None:
        """Run a contestant of the benchmark."""
        words = ["-m", "scripts.bench_contestants", name, str(photographs), str(self.weights), *more]
        said = self._run(title, words, seconds=120)
        if said is not None:
            found: dict[str, Any] = json.loads(said.splitlines()[-1])
            note = f"{1000 * found['cpu'] / found['images']:.2f} ms of CPU an image"
            if "engine" in found:
                note += f"; {found['engine']} on {found['device']}"
            self.rows.append(Row(title=title, rate=found["images"] / found["wall"], note=note))

    def step(self, name: str, title: str, *more: str) -> None:
        """Run a step of scripts/gpu_steps.py."""
        words = ["-m", "scripts.gpu_steps", name, str(self.few), str(self.weights), "--device", self.given.device]
        said = self._run(title, [*words, *more], seconds=150)
        if said is not None:
            self.rows += [Row(**each) for each in json.loads(said.splitlines()[-1])]

    def _run(self, title: str, words: Sequence[str], seconds: float) -> str | None:
        """Return what a process of ours says; None if it fails, with a row that says why."""
        seconds = min(seconds, self.until - time.monotonic())
        print(f"{title} …", file=sys.stderr)
        if seconds <= 0:
            self.rows.append(Row(title=title, note="not run: the time is over"))
            return None
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=ROOT,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # so that its children can be ended with it
        )
        try:
            out, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            self.rows.append(Row(title=title, note=f"not finished within {seconds:.0f} s"))
            return None
        if process.returncode:
            sys.stderr.write(out + errors)
            why = ([*(out + errors).strip().splitlines(), ""])[-2 if out + errors else -1]
            self.rows.append(Row(title=title, note=f"failed: {why[:200]}"))
            return None
        return out

    def table(self) -> str:
        """Return the figures and what they say about each other, as Markdown."""
        lines = ["| | images/s | |", "|---|---|---|", *map(str, self.rows), ""]
        rates = {each.title: each.rate for each in self.rows if each.rate}
        encoded = [rate for title, rate in rates.items() if title.startswith("encode alone")]
        whole, decoded = rates.get("`embedder run`, whole"), rates.get("decode alone")
        if encoded and whole and decoded:
            bound = min(max(encoded), decoded)
            of_bound = f"the run reaches {whole / bound:.2f} of it"
            lines.append(f"- bound, min(encode, decode): {bound:.1f} images/s; {of_bound}")
        return "\n".join([*lines, f"- {self._machine()}"])

    def _machine(self) -> str:
        import torch
        import torchvision

        on = torch.cuda.get_device_name() if self.given.device == "cuda" else "a rehearsal on the CPU: no figure counts"
        versions = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
        return f"{on}; {os.cpu_count()} cores, Python {platform.python_version()}, {versions}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/gpu", description=__doc__)
    parser.add_argument("--wheels", type=Path, metavar="FOLDER", help="wheels of what this python lacks")
    parser.add_argument("--collect", type=Path, metavar="FOLDER", help="only fill that folder, over the network")
    parser.add_argument("--photos", type=Path, metavar="FOLDER", help="JPEGs (default: pictures are made)")
    parser.add_argument("--images", type=int, metavar="N", help="how many, repeated if need be (default: 20,000)")
    parser.add_argument("--minutes", type=float, default=8.0, metavar="N", help="when to end, finished or not")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="cpu rehearses, with few images")
    given = parser.parse_args()
    given.images = given.images or (10 if given.device == "cpu" else 20_000)
    return given


def main() -> int:
    """Run the trial; return 0 if every step gave its row."""
    given = arguments()
    if given.collect:
        gpu_wheels.collect(given.collect)
        return 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "packages").mkdir()
        try:
            gpu_wheels.unpack(given.wheels, folder / "packages")
        except FileNotFoundError as error:
            print(f"scripts/gpu: {error}", file=sys.stderr)
            return 2
        import torch

        if given.device == "cuda" and not torch.cuda.is_available():
            print("scripts/gpu: torch finds no CUDA device; `--device cpu` rehearses", file=sys.stderr)
            return 2
        rehearsed = given.device == "cpu"
        trial = Trial(given, folder)
        trial.prepare(folder)
        trial.tests()
        trial.contestant("decode", "decode alone", trial.photographs)
        trial.step("encode", "encode alone", *(("--batches", "2", "--seconds", "0.1") if rehearsed else ALL_BATCHES))
        whole = ("--engine", "torch", "--device", given.device)
        trial.contestant("whole", "`embedder run`, whole", trial.photographs, *whole)
        trial.step("device", "decode on the device")
        trial.contestant("textbook", "textbook recipe, batches of 32", trial.few)
        print(trial.table())
        return int(any(each.rate is None and each.title != "tests" for each in trial.rows))


ALL_BATCHES = ("--batches", "64,128,256,512")

if __name__ == "__main__":
    sys.exit(main())
