"""`scripts/setup` can be repeated and interrupted: tried with a python that notes what it is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# Makes an "environment" that holds a copy of itself, and "installs" by writing a line.
PYTHON = f"""#!/usr/bin/env bash
case "$*" in
  "-m venv --clear .venv") echo venv >>calls; rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python ;;
  "-m pip install"*) echo pip >>calls; sleep "${{PIP_SECONDS:-0}}"; exit "${{PIP_EXIT:-0}}" ;;
  *) exec {sys.executable} "$@" ;;
esac
"""


@dataclass(frozen=True, slots=True)
class Checkout:
    """A copy of what `scripts/setup` reads, in a folder of its own."""

    folder: Path

    def setup(self, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
        command = [*self.command, *arguments]
        return subprocess.run(command, env=self.environment(env), capture_output=True, text=True, check=False)

    def start(self, **env: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.command, env=self.environment(env), stderr=subprocess.DEVNULL, start_new_session=True
        )

    @property
    def command(self) -> list[str]:
        return [str(shutil.which("bash")), str(self.folder / "scripts" / "setup")]

    def environment(self, changes: dict[str, str]) -> dict[str, str]:
        return {**os.environ, "PYTHON": str(self.folder / "python"), **changes}

    def calls(self) -> list[str]:
        """What was done since the last time this was asked."""
        noted = self.folder / "calls"
        lines = noted.read_text().split() if noted.exists() else []
        noted.unlink(missing_ok=True)
        return lines


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return Checkout(tmp_path)


def test_a_second_setup_does_nothing(checkout: Checkout) -> None:
    assert checkout.setup().returncode == 0
    assert checkout.calls() == ["venv", "pip"]
    again = checkout.setup()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert checkout.calls() == []


def test_changed_dependencies_are_installed_into_the_same_environment(checkout: Checkout) -> None:
    checkout.setup()
    checkout.calls()
    with (checkout.folder / "scripts" / "constraints.txt").open("a") as constraints:
        constraints.write("another==1.0\n")
    assert checkout.setup().returncode == 0
    assert checkout.calls() == ["pip"]


def test_a_failed_setup_fails_and_starts_again(checkout: Checkout) -> None:
    assert checkout.setup(PIP_EXIT="1").returncode != 0
    checkout.calls()
    assert checkout.setup().returncode == 0
    assert checkout.calls() == ["venv", "pip"]


def test_a_killed_setup_starts_again(checkout: Checkout) -> None:
    killed = checkout.start(PIP_SECONDS="60")
    wait_for(checkout.folder / "calls", "pip")
    os.killpg(killed.pid, 9)
    killed.wait()
    checkout.calls()
    assert checkout.setup().returncode == 0
    assert checkout.calls() == ["venv", "pip"]


def test_a_moved_checkout_starts_again(checkout: Checkout) -> None:
    checkout.setup()
    moved = Checkout(checkout.folder.rename(checkout.folder.with_name("moved")))
    moved.calls()
    assert moved.setup().returncode == 0
    assert moved.calls() == ["venv", "pip"]


def test_two_setups_at_once_do_the_work_once(checkout: Checkout) -> None:
    both = [checkout.start(PIP_SECONDS="1"), checkout.start(PIP_SECONDS="1")]
    assert [setup.wait(60) for setup in both] == [0, 0]
    assert checkout.calls() == ["venv", "pip"]


def test_an_old_python_is_refused_in_a_sentence(checkout: Checkout) -> None:
    refused = checkout.setup(PYTHON="false")
    assert refused.returncode == 2
    assert "Python 3.11 or newer" in refused.stderr
    assert checkout.calls() == []


def test_a_part_that_cannot_be_had_does_not_stop_the_others(checkout: Checkout) -> None:
    (checkout.folder / "scripts" / "debian").write_text('echo "$2" >>calls; exit 2\n')
    (checkout.folder / "scripts" / "synth").write_text('#!/usr/bin/env bash\necho "synth with $PYTHON" >&2\n')
    checkout.setup()
    checkout.calls()
    tools = checkout.folder / "tools"
    tools.mkdir()
    for tool in ("bash", "env", "dirname", "mkdir", "sed", "cksum", "head", "cp", "rm", "mv"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    (tools / "node").symlink_to(sys.executable)
    done = checkout.setup("--parts", PATH=str(tools))
    assert done.returncode == 2
    assert checkout.calls() == ["openjdk-17-jre-headless", "chromium", "gcc"]
    assert f"synth with {checkout.folder / 'python'}" in done.stderr
    assert checkout.setup("--parts", "dynamodb", PATH=str(tools)).returncode == 2
    assert checkout.calls() == ["openjdk-17-jre-headless"]


def test_without_root_and_sudo_what_is_needed_is_said(tmp_path: Path) -> None:
    for name, text in (("id", "echo 1000"), ("apt-get", "exit 1")):
        (tmp_path / name).write_text(f"#!{shutil.which('bash')}\n{text}\n")
        (tmp_path / name).chmod(0o755)
    command = [str(shutil.which("bash")), str(ROOT / "scripts" / "debian"), "Java", "some-java"]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "setup: Java is needed: please install it (on Debian: some-java)\n"


def wait_for(path: Path, text: str) -> None:
    deadline = time.monotonic() + 30
    while not (path.exists() and text in path.read_text()):
        assert time.monotonic() < deadline, f"{text} never came"
        time.sleep(0.02)
