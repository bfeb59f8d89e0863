"""How long a worker takes until it can embed, part by part, with prepared files and without: `scripts/bench --start`.

Each start is a process of its own, which does in turn what `embedder run` does before its first batch. As in a Batch
job, what reads S3 and writes DynamoDB is imported as well.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from embedder.encoders.choice import candidates

ROOT = Path(__file__).parents[1]
PARTS = ("imports", "weights", "engine", "proof", "ready", "cpu")
"""`ready` is the sum of those before it, and `cpu` the CPU time of all."""


def start(weights: Path, candidate: str) -> dict[str, float]:
    """Start up in this process, and return the seconds that each part took."""
    import embedder.commands.run
    import embedder.pipeline.session
    import embedder.sources.run
    import embedder.stores.dynamodb  # noqa: F401

    marks = [_age()]
    from embedder.encoders.prepared import Prepared
    from embedder.encoders.proof import prove
    from embedder.models.catalog import find_model
    from embedder.models.checkpoint import Checkpoint

    network = Checkpoint.find(find_model("resnet18"), str(weights))
    chosen = next(each for each in candidates("auto", "auto", full=False) if str(each) == candidate)
    marks.append(_age())
    with Prepared.open(network) as prepared:
        encoder = chosen.engine.open(prepared, chosen.arithmetic, None)
        marks.append(_age())
        prove(encoder, prepared, full=False)
    marks.append(_age())
    spent = [after - before for before, after in zip([0.0, *marks], marks, strict=False)]
    return dict(zip(PARTS, [*spent, marks[-1], time.process_time()], strict=True))


def _age() -> float:
    """Return the seconds since this process was started, as the kernel counts them, in hundredths."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")


def report(weights: Path, ways: Iterable[str], rounds: int) -> str:
    """Measure the starts with these engines and arithmetics; return a table of medians, as Markdown."""
    rows = [f"| | {' | '.join(PARTS)} |", "|---" * (1 + len(PARTS)) + "|"]
    for way in ways:
        with tempfile.TemporaryDirectory() as cache:
            cold = _measure(weights, way, cache)
            warm = [_measure(weights, way, cache) for _ in range(rounds)]
        for state, found in (("nothing prepared", [cold]), ("prepared", warm)):
            seconds = (statistics.median(each[part] for each in found) for part in PARTS)
            rows.append(f"| {way}, {state} | {' | '.join(f'{each:.2f}' for each in seconds)} |")
    return "\n".join([*rows, "", f"- seconds until the first batch; prepared: medians of {rounds} starts"])


def _measure(weights: Path, way: str, cache: str) -> dict[str, float]:
    print(f"starting with {way}", file=sys.stderr)
    command = [sys.executable, "-m", "scripts.bench_start", str(weights), way]
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, check=True, env=os.environ | {"XDG_CACHE_HOME": cache}
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    print(json.dumps(start(Path(sys.argv[1]), sys.argv[2])))
