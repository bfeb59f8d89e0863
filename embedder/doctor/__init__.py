"""`embedder doctor`: checks for everything that a run needs. Each topic has a file; `plan.py` chooses the checks.

A check looks at one thing and changes nothing. It returns a finding, or raises the error that a run would raise; then
the check has failed, with the same sentence. A check that raises does not stop the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from embedder.errors import EmbedderError

Status = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The outcome of a check."""

    status: Status
    found: str
    remedy: str = ""
    """What to do about a warning or a failure."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at."""

    name: str
    look: Callable[[], Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A check's name with its outcome, as it is printed."""

    check: str
    status: Status
    found: str
    remedy: str

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def ok(found: str) -> Finding:
    return Finding("ok", found)


def skipped(why: str) -> Finding:
    return Finding("skipped", why)


def examine(checks: Iterable[Check]) -> Iterator[Result]:
    """Run the checks in order, and yield each result at once."""
    for check in checks:
        found = _look(check)
        yield Result(check=check.name, status=found.status, found=found.found, remedy=found.remedy)


def _look(check: Check) -> Finding:
    try:
        return check.look()
    except EmbedderError as error:
        found, _, remedy = str(error).partition("; ")
        return Finding("failed", found, remedy or "fix this first: a run would end with the same sentence")
    # A bug in one check must not stop the others.
    except Exception as error:
        return Finding("failed", f"the check ended with {type(error).__name__}: {error}", "please report this as a bug")
