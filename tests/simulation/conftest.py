"""The machine whose workers are containers."""

from __future__ import annotations

import subprocess

import pytest

from scripts.simulation.cloud import ROOT
from scripts.simulation.containers import ContainerMachine
from tests.parts.missing import missing


@pytest.fixture(scope="session")
def machine() -> ContainerMachine:
    named = subprocess.run([ROOT / "scripts" / "engine"], capture_output=True, text=True, check=False)
    if named.returncode:
        missing(f"there is no container engine: {named.stderr}")
    return ContainerMachine.prepare()
