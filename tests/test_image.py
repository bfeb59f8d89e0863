"""What can be said of the container image without building it: its lock, its linter, and the bill of materials."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.metadata import distribution, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = ROOT / "scripts" / "locks"
PINNED = re.compile(r"^([a-z0-9-]+)==([^ ;]+)", re.MULTILINE)


def locked(*names: str) -> dict[str, str]:
    """Package → version of some of the locks."""
    return dict(PINNED.findall("\n".join((LOCKS / f"{name}.txt").read_text() for name in names)))


def constraints() -> dict[str, str]:
    text = (ROOT / "scripts" / "constraints.txt").read_text()
    lines = [line.split("==") for line in text.splitlines() if "==" in line]
    return {canonicalize_name(name): number for name, number in lines}


def needed(*requirements: str) -> set[str]:
    """The packages that these requirements bring here, all the way down."""
    found: set[str] = set()
    waiting = [Requirement(each) for each in requirements]
    while waiting:
        requirement = waiting.pop()
        extras = [{"extra": each} for each in ["", *requirement.extras]]
        if requirement.marker and not any(requirement.marker.evaluate(each) for each in extras):
            continue
        name = canonicalize_name(requirement.name)
        if name not in found or requirement.extras:
            found.add(name)
            for line in distribution(name).requires or []:
                inner = Requirement(line)
                if inner.marker is None or any(inner.marker.evaluate(each) for each in extras):
                    inner.marker = None
                    waiting.append(inner)
    return found


def test_the_lock_holds_all_that_the_program_needs() -> None:
    assert needed("embedder[mnn,openvino,heif]") - {"embedder"} <= set(locked("base", "torch"))
    assert needed("cyclonedx-bom", "setuptools") <= set(locked("tools"))


def test_torch_is_locked_apart() -> None:
    assert {"torch", "torchvision"} <= set(locked("torch"))
    assert not [name for name in locked("base") if name.startswith(("torch", "nvidia-", "cuda-", "triton"))]


@pytest.mark.parametrize("name", ["base", "torch", "tools"])
def test_the_lock_is_of_the_tested_versions_and_names_every_file_by_its_hash(name: str) -> None:
    tested = constraints()
    found = locked(name)
    elsewhere = {"colorama"}  # of Windows alone
    assert {each: tested.get(each) for each in set(found) - elsewhere} == {
        each: number for each, number in found.items() if each not in elsewhere
    }
    entries = re.split(r"^(?=[a-z])", (LOCKS / f"{name}.txt").read_text(), flags=re.MULTILINE)[1:]
    assert len(entries) == len(found)
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_dockerfile_holds_to_its_rules() -> None:
    text = (ROOT / "Dockerfile").read_text()
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([str(linter), str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    final = text.rsplit("\nFROM ", 1)[1]
    assert re.search(r"^USER \d+:\d+$", final, re.MULTILINE)
    assert 'ENTRYPOINT ["embedder"]\nCMD ["run"]' in final
    assert not re.search(r"x86|amd64|linux-gnu", re.sub(r"^#.*$", "", text, flags=re.MULTILINE))


@pytest.mark.slow
def test_the_bill_of_materials_names_every_package_with_its_version() -> None:
    script = ROOT / "scripts" / "bom.py"
    printed = subprocess.check_output([sys.executable, str(script), sys.executable], text=True)
    bill = json.loads(printed)
    assert bill["bomFormat"] == "CycloneDX"
    listed = {each["name"].lower(): each["version"] for each in bill["components"]}
    for name in ("torch", "pillow", "boto3", "numpy", "mnn"):
        assert listed[name] == version(name)
