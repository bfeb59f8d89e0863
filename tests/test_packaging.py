"""What a user installs is whole, and what a developer checks out is clean."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import embedder

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONSTRAINTS = [
    line
    for line in (ROOT / "scripts" / "constraints.txt").read_text(encoding="utf-8").splitlines()
    if line and not line.startswith("#")
]
MOST_BYTES = 100_000


def normalized(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements() -> list[str]:
    project = PROJECT["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    return [*project["dependencies"], *extras]


def tracked() -> list[Path]:
    """What git has, or would take: everything in the checkout that is not ignored."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"this test needs a git checkout: {done.stderr}"
    found = [ROOT / name for name in done.stdout.split("\0") if name]
    return [path for path in found if path.is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The names of the files in a wheel, built without a network from a copy of the sources."""
    folder = tmp_path_factory.mktemp("wheel")
    ignore = shutil.ignore_patterns("__pycache__")
    for name in ("embedder", "submitter"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    # The backend itself, as pip would call it: pip is not in every environment, setuptools comes with torch.
    build = "import setuptools.build_meta as backend; backend.build_wheel('.')"
    done = subprocess.run([sys.executable, "-c", build], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as archive:
        return archive.namelist()


def test_a_wheel_has_every_module_the_pages_and_the_types(wheel: list[str]) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for program in ("embedder", "submitter")
        for path in (ROOT / program).rglob("*")
        if path.suffix in (".py", ".typed", ".html", ".css", ".js")
    }
    shipped = {name for name in wheel if ".dist-info/" not in name}
    assert shipped == wanted
    assert {"embedder/py.typed", "submitter/py.typed"} <= shipped


def test_a_wheel_has_the_licence_and_the_commands(wheel: list[str]) -> None:
    described = {name.split(".dist-info/")[1] for name in wheel if ".dist-info/" in name}
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE"} <= described


def test_the_commands_lead_to_functions() -> None:
    scripts = PROJECT["project"]["scripts"]
    assert set(scripts) == {"embedder", "submitter"}
    for target in scripts.values():
        module, _, function = target.partition(":")
        assert callable(getattr(import_module(module), function))


@pytest.mark.parametrize("program", ["embedder", "submitter"])
def test_a_command_is_also_a_module(program: str) -> None:
    command = [sys.executable, "-m", program, "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: {program} ")


def test_there_is_one_version() -> None:
    assert PROJECT["project"]["version"] == embedder.__version__


def test_what_is_exported_is_there() -> None:
    for name in embedder.__all__:
        module = getattr(embedder, name).__module__
        assert module.startswith("embedder.") or name == "Progress", (
            "only the type of a function is not a thing of ours"
        )


def test_the_licence_is_apache() -> None:
    assert PROJECT["project"]["license"] == "Apache-2.0"
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "Version 2.0, January 2004" in text


def test_the_tested_set_pins_every_requirement() -> None:
    pinned = {}
    for line in CONSTRAINTS:
        matched = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][A-Za-z0-9.+!]*)", line)
        assert matched, f"{line!r} is not a name and a version"
        pinned[normalized(matched[1])] = matched[2]
    assert len(pinned) == len(CONSTRAINTS), "a package is pinned twice"
    for requirement in requirements():
        matched = re.match(r"[A-Za-z0-9._-]+", requirement)
        assert matched
        assert normalized(matched[0]) in pinned, f"{requirement} is not in scripts/constraints.txt"


def test_the_tested_set_fits_the_bounds() -> None:
    pinned = {normalized(name): version for name, _, version in (line.partition("==") for line in CONSTRAINTS)}
    for requirement in requirements():
        matched = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?(?:>=([0-9.]+))?(?: ;.*)?", requirement)
        assert matched, f"{requirement}: only lower bounds are given"
        if matched[2]:
            found = pinned[normalized(matched[1])].split("+")[0]
            assert _numbers(found) >= _numbers(matched[2]), requirement


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def test_what_the_program_needs_has_a_lower_bound() -> None:
    assert all(">=" in requirement for requirement in PROJECT["project"]["dependencies"])


def test_every_classified_python_is_allowed() -> None:
    least = PROJECT["project"]["requires-python"].removeprefix(">=")
    named = [each.rsplit(" ", 1)[1] for each in PROJECT["project"]["classifiers"] if "Python :: 3." in each]
    assert min(named, key=_numbers) == least


def test_no_large_file_is_checked_in() -> None:
    large = {path.name: path.stat().st_size for path in tracked() if path.stat().st_size > MOST_BYTES}
    assert not large


def test_no_file_speaks_of_this_machine() -> None:
    """Paths that are right on one machine alone."""
    places = [ROOT, Path.home(), *([Path(sys.prefix)] if sys.prefix != sys.base_prefix else [])]
    # A short path, such as /app or /root, is likely to be a container's too.
    patterns = [re.escape(str(path)) + r"\b" for path in places if len(path.parts) > 2]
    spoken = re.compile("|".join([*patterns, r"/home/(?!embedder/|app/)\w+/", r"/Users/\w+/"]))
    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {each}" for each in spoken.findall(text)]
    assert not found


def test_scripts_can_be_called() -> None:
    for path in tracked():
        if path.read_bytes().startswith(b"#!"):
            assert path.stat().st_mode & 0o111, f"{path.relative_to(ROOT)} is not executable"
