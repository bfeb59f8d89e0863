"""The commands as a person runs them: real subprocesses, judged by exit code, output and report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What a command left behind."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def report(self) -> dict[str, Any]:
        """The last line on stdout, which `--json` makes one JSON object."""
        lines = self.stdout.splitlines()
        assert lines, f"nothing on stdout; stderr:\n{self.stderr}"
        report = json.loads(lines[-1])
        assert isinstance(report, dict), lines[-1]
        return report


def ended(process: subprocess.Popen[str], timeout: float = 200) -> Result:
    """Wait for a command; one that hangs is killed and fails the test."""
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return Result(returncode=process.returncode, stdout=stdout, stderr=stderr)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cli:
    """Runs `embedder …` (or `submitter …`) in `folder`, with this virtual environment's python."""

    folder: Path

    def start(
        self, *arguments: str | Path, program: str = "embedder", env: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start it and return at once, for tests that send it signals."""
        return subprocess.Popen(
            [sys.executable, "-m", program, *map(str, arguments)],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self,
        *arguments: str | Path,
        program: str = "embedder",
        env: Mapping[str, str] | None = None,
        timeout: float = 200,
    ) -> Result:
        """Run it to its end; one that hangs is killed and fails the test."""
        return ended(self.start(*arguments, program=program, env=env), timeout)
