"""Commands of `submitter`, and workers on the runs that they submit."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from embedder.options import Layer
from embedder.pipeline.report import Report
from embedder.pipeline.session import open_session
from submitter.cli import main
from tests.submitter.cloud import Cloud


@dataclass(frozen=True, kw_only=True)
class Terminal:
    """In the test's own process and cloud."""

    cloud: Cloud
    capsys: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Any:
        """Run a command and return its JSON."""
        self.capsys.readouterr()
        code = main([*arguments, "--json"])
        found = json.loads(self.capsys.readouterr().out.splitlines()[-1])
        assert found.get("exit_code", 0) == code
        return found

    def work(self, run: str, shard: int, **options: Any) -> Report:
        """Let a worker do a shard."""
        return open_session(run, None, Layer(values={"weights": "random", "workers": 1, **options}), shard=shard).run()
