"""What a user installs is whole, and what a developer checks out is clean."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import embedder
from tests.photographs import write_photos

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
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built without a network from a copy of the sources, as pip builds one of `git+https://…`."""
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
    return next(folder.glob("*.whl"))


def files(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_a_wheel_has_every_module_the_pages_and_the_types(wheel: Path) -> None:
    wanted = {
        str(path.relative_to(ROOT))
        for program in ("embedder", "submitter")
        for path in (ROOT / program).rglob("*")
        if path.suffix in (".py", ".typed", ".html", ".css", ".js")
    }
    shipped = {name for name in files(wheel) if ".dist-info/" not in name}
    assert shipped == wanted
    assert {"embedder/py.typed", "submitter/py.typed"} <= shipped


def test_a_wheel_has_the_licence_and_the_commands(wheel: Path) -> None:
    described = {name.split(".dist-info/")[1] for name in files(wheel) if ".dist-info/" in name}
    assert {"METADATA", "entry_points.txt", "licenses/LICENSE"} <= described


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """A virtual environment with the wheel, which finds what embedder depends on in the tests' own environment."""

    folder: Path
    packages: Path

    def __call__(self, program: str, *words: str, **environment: str) -> str:
        """Run a program of the environment, far from any checkout; return what it prints."""
        done = subprocess.run(
            [self.folder / "bin" / program, *words],
            cwd=self.folder,
            env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def installed(wheel: Path, tmp_path: Path) -> Installed:
    """Install the wheel as pip does. Dependencies are looked up, not installed: torch alone takes minutes."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    words = ["uv", "pip", "install", "--quiet", "--offline", "--no-deps", "--python", str(python), str(wheel)]
    subprocess.run([sys.executable, "-m", *words], check=True)
    packages = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    # A .pth file names a folder, whose own .pth files are not read: the editable checkout is not found through it.
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    write_photos(tmp_path / "venv" / "photos", 4)
    return Installed(folder=tmp_path / "venv", packages=packages)


def test_a_wheel_is_all_that_a_user_needs(installed: Installed, shared: Path) -> None:
    found = installed("python", "-c", "import embedder, submitter.cli; print(embedder.__file__)")
    assert Path(found.strip()) == installed.packages / "embedder" / "__init__.py"
    cache = {"XDG_CACHE_HOME": str(shared / "cache")}
    installed("embedder", "run", "photos", "--weights", "random", "--engine", "torch", "--precision", "full", **cache)
    installed("embedder", "gallery", "vectors.db", "--html", "gallery.html")
    installed("embedder", "similar", "vectors.db", "photo-0000.jpg", "--html", "similar.html")
    for name in ("gallery.html", "similar.html"):
        page = (installed.folder / name).read_text(encoding="utf-8")
        assert "<style>" in page
        assert "photo-0001.jpg" in page


HIDDEN = """
import fcntl, os, select, signal, sys

for module, names in {
    fcntl: ("F_SETPIPE_SZ", "F_GETPIPE_SZ", "F_ADD_SEALS"),
    os: ("sched_getaffinity", "sched_setaffinity", "posix_fallocate", "posix_fadvise", "fdatasync", "memfd_create",
         "copy_file_range", "pipe2", "eventfd", "splice", "pidfd_open", "O_TMPFILE", "O_DIRECT", "O_PATH"),
    select: ("epoll",),
    signal: ("sigtimedwait", "sigwaitinfo", "pidfd_send_signal"),
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)


def hide(event, arguments):
    if event == "open" and isinstance(arguments[0], str) and arguments[0].startswith(("/proc/", "/sys/")):
        raise FileNotFoundError(2, "hidden", arguments[0])


sys.addaudithook(hide)
"""
"""What Linux has and macOS has not, as far as Python shows it; hidden at the start of every process."""


@pytest.mark.slow
def test_what_is_linux_only_is_done_without(installed: Installed, tmp_path: Path) -> None:
    """A Mac is not at hand: this hides from every process, decoders included, what a Mac lacks."""
    (installed.packages / "hidden.pth").write_text("import hiding\n", encoding="utf-8")
    (installed.packages / "hiding.py").write_text(HIDDEN, encoding="utf-8")
    for engine in ("mnn", "torch"):
        cache = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        installed("embedder", "run", "photos", "--weights", "random", "--engine", engine, "--recompute", **cache)
    installed("embedder", "doctor", "photos", "--weights", "random")
    installed("embedder", "gallery", "vectors.db", "--html", "gallery.html")


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
