"""Programs that call embedder, from `scripts/setup --parts companions`: kept apart from the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cli import ROOT

FOLDER = ROOT / ".venv" / "parts" / "companions"


def needs_companion(module: str) -> None:
    """Skip a test whose companion is not there. It is large, so CI lacks it too."""
    if find_spec(module) is None and PathFinder.find_spec(module, [str(FOLDER)]) is None:
        pytest.skip(f"{module} is not installed: scripts/setup --parts companions")


def run_with_companions(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run python in a folder, where it finds the companions as well as this checkout."""
    paths = os.pathsep.join([str(ROOT), str(FOLDER)])
    environment = {"PYTHONPATH": paths, "PYSPARK_PYTHON": sys.executable, "RAY_USAGE_STATS_ENABLED": "0"}
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
