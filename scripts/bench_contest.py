"""The benchmark: every contestant in turn, several rounds, and what their rates say about each other.

These rates mean little by themselves, since machines differ and are shared; the ratios within one run do.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embedder.system.cores import processor
from scripts import bench_start
from scripts.bench_servers import Servers
from tests.photographs import write_photos
from tests.seeded_weights import write_plain_resnet18

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "docs" / "benchmarks.md"

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
"""What holds torch, oneDNN (OpenVINO's, too) and MKL to AVX2. MNN's wheel has nothing wider anyway."""


@dataclass
class Contestant:
    """One way of doing the work, and what its rounds measured."""

    name: str
    title: str
    rounds: list[dict[str, Any]] = field(default_factory=list)
    unable: str = ""
    """Why it cannot run on this machine."""

    @property
    def rate(self) -> float:
        """Images a second, the median of the rounds."""
        return float(statistics.median(each["images"] / each["wall"] for each in self.rounds))

    @property
    def cpu(self) -> float:
        """CPU milliseconds an image, the median of the rounds."""
        return float(statistics.median(1000 * each["cpu"] / each["images"] for each in self.rounds))

    def run(self, folder: Path, weights: Path, *more: str) -> None:
        """Run one round in a process of its own."""
        command = [sys.executable, "-m", "scripts.bench_contestants", self.name, str(folder), str(weights), *more]
        # numpy's threads wait by spinning, which would count as the work of a model that is to cost nothing.
        env = os.environ | ({"OPENBLAS_NUM_THREADS": "1"} if self.name.startswith("carry") else {})
        done = json.loads(subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, env=env).stdout)
        if "unable" in done:
            self.unable = done["unable"]
        else:
            self.rounds.append(done)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, help="photographs (default: made from scikit-image's)")
    parser.add_argument("--images", type=int, default=256, metavar="N", help="how many, repeated if need be")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="how often each contestant runs")
    parser.add_argument("--source", choices=["folder", "s3"], default="folder", help="where `embedder run` reads")
    parser.add_argument("--store", choices=["sqlite", "dynamodb"], default="sqlite", help="where it writes")
    parser.add_argument("--latency", type=float, default=0, metavar="MS", help="milliseconds added to S3 requests")
    parser.add_argument(
        "--transport", action="store_true", help="only what S3 and DynamoDB cost, with a model that costs nothing"
    )
    parser.add_argument("--start", action="store_true", help="only how long a worker takes until it can embed")
    parser.add_argument("--only", metavar="A,B", help="only these contestants, without the comparison")
    parser.add_argument("--avx2", action="store_true", help="hold every library to AVX2, as on a lesser processor")
    parser.add_argument("--record", action="store_true", help="add the figures to docs/benchmarks.md")
    return parser.parse_args()


def photographs(given: argparse.Namespace, folder: Path) -> Path:
    """A flat folder of as many links as images are wanted, to the photographs in turn."""
    if given.folder is None:
        found = write_photos(folder / "made", min(given.images, 128))
    else:
        found = sorted(path for path in given.folder.rglob("*") if path.is_file())
    flat = folder / "photographs"
    flat.mkdir()
    for number in range(given.images):
        path = found[number % len(found)]
        (flat / f"{number:06d}{path.suffix}").symlink_to(path.resolve())
    return flat


def ways_to_encode() -> list[str]:
    """List the engines and arithmetics that are worth trying here."""
    from embedder.encoders.choice import candidates

    return [str(each) for each in candidates("auto", "auto", full=False)]


def table(contestants: list[Contestant], given: argparse.Namespace) -> str:
    """The figures and the ratios, as Markdown."""
    rows = [
        "| | images/s | CPU ms an image |",
        "|---|---|---|",
        *(f"| {each.title} | {each.rate:.1f} | {each.cpu:.1f} |" for each in contestants if not each.unable),
        "",
    ]
    between = "" if given.transport else f"{given.source} to {given.store}, "
    how = f"- {between}{given.images} images, medians of {given.rounds} interleaved rounds"
    if given.latency:
        how += f", {given.latency:.0f} ms added to S3 requests"
    unable = [f"- not here: {each.title}: {each.unable}" for each in contestants if each.unable]
    compared = [] if given.only else transport(contestants) if given.transport else comparison(contestants)
    return "\n".join([*rows, *compared, *unable, how])


def transport(contestants: list[Contestant]) -> list[str]:
    """What the way from S3 to DynamoDB costs more than the way from a folder to SQLite."""
    near, far = contestants
    return [f"- S3 and DynamoDB cost the worker {far.cpu - near.cpu:.2f} ms of CPU an image more (medians' difference)"]


def comparison(contestants: list[Contestant]) -> list[str]:
    """What the rates say about each other."""
    by_name = {each.name: each for each in contestants}
    whole, decode = by_name["whole"], by_name["decode"]
    encoding = by_name[f"encode:{whole.rounds[-1]['engine']}"]
    if whole.rounds[-1]["device"] == "cuda":
        bound, formula = min(encoding.rate, decode.rate), "bound where the GPU encodes, min(encode, decode)"
    else:
        bound, formula = 1 / (1 / encoding.rate + 1 / decode.rate), "bound for shared cores, 1 / (1/encode + 1/decode)"
    stages = ", ".join(f"{stage} {spent:.1f}" for stage, spent in whole.rounds[-1]["stages"].items())
    of_bound = whole.rate / bound
    return [
        f"- whole run / original's way: {whole.rate / by_name['original'].rate:.2f}",
        f"- whole run / textbook recipe: {whole.rate / by_name['textbook'].rate:.2f}",
        f"- {formula}: {bound:.1f} images/s with {encoding.title}; the whole run reaches {of_bound:.2f} of it",
        f"- `embedder run` took {whole.rounds[-1]['engine']}; thread seconds by stage: {stages}",
    ]


def machine() -> str:
    """The machine in a few words."""
    return f"{os.cpu_count()} x {processor()}, Python {platform.python_version()}"


def _servers(given: argparse.Namespace) -> Servers:
    s3, dynamodb = given.source == "s3" or given.transport, given.store == "dynamodb" or given.transport
    return Servers(s3=s3, dynamodb=dynamodb, latency=given.latency / 1000)


def _contestants(given: argparse.Namespace) -> list[Contestant]:
    if given.transport:
        return [
            Contestant("carry:near", "from a folder to SQLite, no model"),
            Contestant("carry:far", "from S3 to DynamoDB, no model"),
        ]
    found = [
        Contestant("original", "the original's way, one at a time"),
        Contestant("textbook", "textbook recipe, batches of 32"),
        Contestant("decode", "decode alone"),
        *(Contestant(f"encode:{each}", f"encode alone, {each}") for each in ways_to_encode()),
        Contestant("whole", "`embedder run`, whole"),
        Contestant("full", "`embedder run --precision full`, whole"),
    ]
    return [each for each in found if not given.only or each.name in given.only.split(",")]


def contest(
    contestants: list[Contestant], rounds: int, photographs: Path, weights: Path, servers: Servers
) -> list[Contestant]:
    """Run every contestant that can run here, in turn, several times."""
    for number in range(rounds):
        for contestant in (each for each in contestants if not each.unable):
            print(f"round {number + 1} of {rounds}: {contestant.title}", file=sys.stderr)
            more = servers.fresh(photographs) if contestant.name in ("whole", "full", "carry:far") else []
            contestant.run(photographs, weights, *more)
    return contestants


def main() -> None:
    """Run the contest."""
    given = arguments()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        if given.avx2:
            os.environ.update(AVX2, XDG_CACHE_HOME=str(folder / "cache"))  # which engine is faster is asked anew
        flat, weights = photographs(given, folder), folder / "weights.pth"
        write_plain_resnet18(weights)
        if given.start:
            ways = ["openvino bfloat16", "openvino float32", "mnn float32", "torch float32"]
            figures = bench_start.report(weights, [each for each in ways if each in ways_to_encode()], given.rounds)
        else:
            servers = stack.enter_context(_servers(given))
            figures = table(contest(_contestants(given), given.rounds, flat, weights, servers), given)
    print(figures)
    if given.record:
        held = ", held to AVX2" if given.avx2 else ""
        heading = f"## {datetime.now(UTC):%Y-%m-%d %H:%M}, {machine()}{held}"
        RECORD.write_text(f"{RECORD.read_text().rstrip()}\n\n{heading}\n\n{figures}\n")


if __name__ == "__main__":
    main()
