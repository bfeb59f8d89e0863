"""`python -m scripts.bench_models [--record] [MODEL…]`: a table of models: engine, arithmetic, rate, fidelity, memory.

The weights are random and seeded: rates and memory are those of any weights, and the cosine is one that these weights
keep. `--precision auto` proves the weights of a run anew. Each model is measured in a cache folder of its own, and in
two processes: one prepares it and times every engine; one starts as a second run does, and says what that takes.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from embedder.encoders.choice import measured_rates, open_encoder
from embedder.encoders.prepared import Prepared
from embedder.encoders.proof import agreement
from embedder.models.catalog import find_model
from embedder.models.checkpoint import Checkpoint
from embedder.system.cores import processor

RECORD = Path(__file__).parents[1] / "docs" / "benchmarks.md"

MODELS = (
    "resnet18",
    "resnet50",
    "convnext_tiny",
    "vit_b_16",
    "efficientnet_b0",
    "mobilenet_v3_large",
    "timm/vit_small_patch14_dinov2.lvd142m",
    "open_clip/ViT-B-32/laion2b_s34b_b79k",
)

HEAD = """| model | pixels | engine | arithmetic | images/s | least cosine | memory, MB | the others, images/s |
|---|---|---|---|---|---|---|---|"""


def main() -> int:
    """Measure the models and print the table."""
    parser = argparse.ArgumentParser(prog="python -m scripts.bench_models", description=__doc__)
    parser.add_argument("models", nargs="*", default=MODELS, metavar="MODEL", help="what --model takes")
    parser.add_argument("--record", action="store_true", help="add the table to docs/benchmarks.md")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measured(given.models[0])))
        return 0
    lines = [HEAD]
    print(HEAD)
    for name in given.models:
        lines.append(row(name))
        print(lines[-1], flush=True)
    if given.record:
        cores = len(os.sched_getaffinity(0))
        title = f"## {datetime.now(UTC):%Y-%m-%d %H:%M}, models on {cores} x {processor()}"
        with RECORD.open("a", encoding="utf-8") as file:
            file.write("\n".join(["", title, "", *lines, ""]))
    return 0


def row(name: str) -> str:
    """Measure a model in processes of its own, and return its line of the table."""
    with tempfile.TemporaryDirectory() as cache:
        environment = {**os.environ, "XDG_CACHE_HOME": cache}
        command = [sys.executable, "-m", "scripts.bench_models", "--one", name]
        for _ in ("prepares and times", "starts as a second run"):
            done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    rates: Mapping[str, float] = found["rates"]
    own = f"{found['engine']} {found['arithmetic']}"
    others = ", ".join(f"{each} {rate:.1f}" for each, rate in rates.items() if each != own)
    return (
        f"| {name} | {found['side']} | {found['engine']} | {found['arithmetic']} | {rates.get(own, 0):.1f} | "
        f"{found['cosine']:.6f} | {found['memory']:.0f} | {others} |"
    )


def measured(name: str) -> dict[str, Any]:
    """Open a model as a run does, and return what was found."""
    checkpoint = Checkpoint.find(find_model(name), "random")
    encoder = open_encoder(checkpoint, device="cpu")
    with Prepared.open(checkpoint) as prepared:
        fidelity = agreement(encoder, prepared)
    return {
        "side": checkpoint.preprocessing.crop,
        "engine": encoder.engine,
        "arithmetic": encoder.arithmetic,
        "rates": dict(measured_rates(checkpoint)),
        "cosine": fidelity.cosine,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }


if __name__ == "__main__":
    sys.exit(main())
