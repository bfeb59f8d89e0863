"""Ways of embedding a folder, each run alone in a process of its own: `python -m scripts.bench_contestants NAME …`.

Every contestant gets the same photographs and weights, starts its clock when it is warm, and
prints one JSON object: images, wall and CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from embedder.encoders import Encoder
from embedder.encoders.proof import UnusableError

CARRIED_BATCH = 16
"""Pictures in a batch where the model costs nothing; the CPU's engines take as many."""


@dataclass
class Clock:
    """Wall and CPU seconds of the measured part, children included."""

    wall: float = 0.0
    cpu: float = 0.0
    images: int = 0
    more: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def running(self) -> Iterator[None]:
        began, cpu = time.perf_counter(), _cpu()
        yield
        self.wall, self.cpu = time.perf_counter() - began, _cpu() - cpu


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _eager(weights: Path) -> Any:
    import torch
    from torchvision.models import resnet18

    module = resnet18()
    module.load_state_dict(torch.load(weights, weights_only=True))
    module.fc = torch.nn.Identity()
    return module.eval()


def original(paths: list[Path], weights: Path, clock: Clock) -> None:
    """One image at a time through transforms() and eager torch, as the AWS sample does it."""
    import torch
    from PIL import Image
    from torchvision.models import ResNet18_Weights

    module, transforms = _eager(weights), ResNet18_Weights.DEFAULT.transforms()
    with clock.running(), torch.inference_mode():
        for path in paths:
            with Image.open(path) as image:
                module(transforms(image.convert("RGB"))[None]).numpy()


class Textbook:
    """The Dataset of the textbook recipe."""

    def __init__(self, paths: list[Path]) -> None:
        from torchvision.models import ResNet18_Weights

        self.paths = paths
        self.transforms = ResNet18_Weights.DEFAULT.transforms()

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> Any:
        from PIL import Image

        with Image.open(self.paths[index]) as image:
            return self.transforms(image.convert("RGB"))


def textbook(paths: list[Path], weights: Path, clock: Clock) -> None:
    """DataLoader, transforms(), eager torch, batches of 32."""
    import torch
    from torch.utils.data import DataLoader

    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = _eager(weights).to(device)
    loader: Any = DataLoader(Textbook(paths), batch_size=32, num_workers=os.cpu_count() or 1)  # type: ignore[arg-type]
    with clock.running(), torch.inference_mode():
        for batch in loader:
            module(batch.to(device)).cpu().numpy()


def decode(paths: list[Path], _weights: Path, clock: Clock) -> None:
    """Our decoding alone, in a process for each core as a run does it."""
    from embedder.decoding.processes import IsolatedDecoder
    from embedder.models.catalog import find_model
    from embedder.options import DEFAULT_MAX_PIXELS
    from embedder.system.cores import usable_cores
    from embedder.system.memory import DECODED_BYTES
    from embedder.system.threads import Budget, parallel_map

    reserve = Budget(DECODED_BYTES).reserve
    decoder = IsolatedDecoder(find_model("resnet18").preprocessing, max_pixels=DEFAULT_MAX_PIXELS, reserve=reserve)
    decoded = parallel_map(
        lambda path: decoder.decode(path.read_bytes()), paths, workers=usable_cores(), depth=lambda: 64, name="decode"
    )
    next(decoded)  # the processes have started
    with clock.running():
        for _ in decoded:
            pass
        decoder.close()


def encode(candidate: str) -> Callable[[list[Path], Path, Clock], None]:
    """One way to run the network alone, such as `mnn float32`, on pixels that are decoded already."""

    def contest(paths: list[Path], weights: Path, clock: Clock) -> None:
        from embedder.decoding.decoder import Decoder
        from embedder.options import DEFAULT_MAX_PIXELS
        from embedder.system.threads import parallel_map

        clock.images = 0
        opened, preprocessing = _open(candidate, weights)
        decoder = Decoder(preprocessing, max_pixels=DEFAULT_MAX_PIXELS)
        size = opened.batch_size
        some = [decoder.decode(path.read_bytes()).pixels for path in paths[: 4 * size]]
        batches = [np.stack(some[start : start + size]) for start in range(0, len(some), size)]
        wanted = [batches[number % len(batches)] for number in range(-(-len(paths) // size))]
        lanes = opened.lanes
        list(parallel_map(opened.encode, batches, workers=lanes, depth=lambda: lanes, name="warm"))
        with clock.running():
            for vectors in parallel_map(opened.encode, wanted, workers=lanes, depth=lambda: lanes + 1, name="encode"):
                clock.images += len(vectors)

    return contest


def _open(candidate: str, weights: Path) -> tuple[Encoder, Any]:
    from embedder.encoders.choice import candidates, open_candidate
    from embedder.encoders.prepared import Prepared
    from embedder.models.catalog import find_model
    from embedder.models.checkpoint import Checkpoint

    network = Checkpoint.find(find_model("resnet18"), str(weights))
    chosen = next(each for each in candidates("auto", "auto", full=False) if str(each) == candidate)
    with Prepared.open(network) as prepared:
        return open_candidate(chosen, prepared, None, full=False), network.preprocessing


def whole(
    paths: list[Path],
    weights: Path,
    clock: Clock,
    *,
    source: str | None = None,
    store: str | None = None,
    **options: Any,
) -> None:
    """`embedder run` as it is, from a folder to SQLite unless told otherwise; loading the model is not counted."""
    from embedder import embed

    with tempfile.TemporaryDirectory() as folder:
        # Imports, and the engine's preparation, which happens once on a machine.
        options["weights"] = str(weights)
        embed(paths[0], f"{folder}/warm.db", **options)
        if source or store:
            import embedder.sources.bucket
            import embedder.stores.dynamodb  # noqa: F401 - imports boto3
        with clock.running():
            report = embed(source or paths[0].parent, store or f"{folder}/vectors.db", **options)
    assert report.embedded == len(paths), report
    load = report.seconds_by_stage["load"]
    clock.more = {
        "load": load,
        "engine": f"{report.engine} {report.arithmetic}",
        "device": report.device,
        "stages": dict(report.seconds_by_stage),
    }
    clock.wall -= load


def carry(paths: list[Path], weights: Path, clock: Clock, *, source: str | None, store: str | None) -> None:
    """`embedder run` with a model that costs nothing: what remains is the way from the source to the store."""
    from tests.embedder.stand_in import PixelEncoder, replace_engines

    replace_engines(PixelEncoder(batch_size=CARRIED_BATCH).open)
    whole(paths, weights, clock, source=source, store=store)


def main() -> None:
    """Run one contestant."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("folder", type=Path)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--source")
    parser.add_argument("--store")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    paths = sorted(given.folder.iterdir())
    clock = Clock(images=len(paths))
    contestants: dict[str, Callable[[list[Path], Path, Clock], None]] = {
        "original": original,
        "textbook": textbook,
        "decode": decode,
    }
    try:
        if given.name in ("whole", "full"):
            more = {"precision": "full" if given.name == "full" else "auto"}
            more |= {name: getattr(given, name) for name in ("source", "store", "engine", "device")}
            whole(paths, given.weights, clock, **more)
        elif given.name in ("carry:near", "carry:far"):
            carry(paths, given.weights, clock, source=given.source, store=given.store)
        elif given.name.startswith("encode:"):
            encode(given.name.removeprefix("encode:"))(paths, given.weights, clock)
        else:
            contestants[given.name](paths, given.weights, clock)
    except UnusableError as error:
        json.dump({"unable": str(error)}, sys.stdout)
        return
    json.dump({"images": clock.images, "wall": clock.wall, "cpu": clock.cpu, **clock.more}, sys.stdout)


if __name__ == "__main__":
    main()
