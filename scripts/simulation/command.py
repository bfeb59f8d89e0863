"""The command line of `scripts/simulate`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from scripts.simulation.cloud import open_cloud
from scripts.simulation.containers import IMAGE, ContainerMachine, EngineError
from scripts.simulation.story import FOLDER, Story, chaos_for
from tests.parts.aws import SEALED
from tests.parts.server import ServerError
from tests.photographs import write_photos

IMAGES = 24
LEAST_FOR_CHAOS = 4
ODD_NAME = "photo it's 100% schön + 🐈.jpg"
"""The name of one of the photographs, to try an unusual key."""


def main(argv: Sequence[str] | None = None) -> int:
    """Return 0 if the books balance, 1 if they do not, 2 for a mistake in the arguments."""
    parser = _parser()
    given = parser.parse_args(argv)
    if given.shard_size < 1 or (given.images is not None and given.images < 1):
        parser.error("--images and --shard-size are counts from 1")
    machine = None
    if given.container:
        if given.weights not in ("random", "default"):
            parser.error("--container: the image holds its own weights, so --weights is random or default, not a path")
        try:
            machine = ContainerMachine.prepare()
        except EngineError as error:
            parser.error(f"--container: {error}")
    _seal()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="embedder-simulation-") as name:
        photographs = _photographs(given, Path(name), parser)
        if given.chaos and len(photographs) < LEAST_FOR_CHAOS:
            parser.error(f"--chaos needs {LEAST_FOR_CHAOS} images")
        try:
            balanced = _tell(given, photographs, Path(name), machine)
        except ServerError as error:
            print(f"simulate: {error}", file=sys.stderr)
            return 1
    _say(f"\n{time.monotonic() - began:.0f} s in all")
    return 0 if balanced else 1


def _tell(
    given: argparse.Namespace, photographs: dict[str, bytes], folder: Path, machine: ContainerMachine | None
) -> bool:
    with open_cloud(folder) as cloud:
        _say("== The cloud")
        _say(f"S3 and Batch are moto's, DynamoDB is AWS's DynamoDB Local, all behind {cloud.endpoint}")
        where = f", in a container of {IMAGE} ({machine.engine})" if machine else ""
        _say(f"Lambda is AWS's runtime client; every Batch child is a real `embedder run`{where}")
        _say(f"the workers' weights: {given.weights}" + _warning(given.weights))
        size = _batch_size(given.shard_size)
        cloud.create({"EMBEDDER_WEIGHTS": given.weights, "EMBEDDER_BATCH_SIZE": str(size)})
        story = Story(cloud=cloud, folder=folder, shard_size=given.shard_size, say=_say, machine=machine)
        outcome = story.tell(photographs, chaos_for(list(photographs), given.shard_size) if given.chaos else None)
    return not outcome.problems


def _batch_size(shard_size: int) -> int:
    """Return the CPU's usual 16, or less for a small shard, so that a worker can die in the middle of it."""
    return max(1, min(16, shard_size // 3))


def _warning(weights: str) -> str:
    return "; the vectors that they make say nothing about the pictures" * (weights == "random")


def _photographs(given: argparse.Namespace, folder: Path, parser: argparse.ArgumentParser) -> dict[str, bytes]:
    """Return the objects to upload, by key."""
    if given.folder is None:
        made = write_photos(folder / "photographs", given.images or IMAGES)
        found = {str(path.relative_to(folder / "photographs")): path.read_bytes() for path in made}
        found[ODD_NAME] = found.pop(made[0].name)
    else:
        if not given.folder.is_dir():
            parser.error(f"--folder: there is no folder {given.folder}")
        paths = sorted(path for path in given.folder.rglob("*") if path.is_file())[: given.images]
        found = {path.relative_to(given.folder).as_posix(): path.read_bytes() for path in paths}
    return {f"{FOLDER}/{name}": body for name, body in found.items()}


def _say(text: str) -> None:
    print(text, flush=True)


def _seal() -> None:
    """Remove this machine's AWS configuration, so that no real account is ever reached."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "EMBEDDER_")) or name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            del os.environ[name]
    os.environ.update(SEALED)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/simulate", description="Simulate the whole cloud on this machine.")
    parser.add_argument("--images", type=int, metavar="N", help=f"how many (default {IMAGES}, or all of --folder)")
    parser.add_argument("--folder", type=Path, metavar="F", help="photographs (default: made from scikit-image's)")
    parser.add_argument("--shard-size", type=int, default=6, metavar="N", help="images a shard (default %(default)s)")
    parser.add_argument(
        "--weights", default="random", metavar="W", help="random (the default), default, or the PATH of a state dict"
    )
    parser.add_argument(
        "--chaos", action="store_true", help="kill, stop and do not pull a worker; corrupt an image, delete another one"
    )
    parser.add_argument(
        "--container",
        action="store_true",
        help="run each worker in a container of the built image",
    )
    return parser
