"""`embedder doctor`: is everything there that a run will need? A file for each topic, and `plan.py` for what to ask.

A check looks at one thing and changes nothing. It returns what it found, and raises as the rest of the program does:
then it has failed, with the sentence that a run would have ended with. What one raises hides no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from embedder.errors import EmbedderError

Status = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found."""

    status: Status
    found: str
    remedy: str = ""
    """What to do, for a warning or a failure."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to look at."""

    name: str
    look: Callable[[], Finding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A check and what it found."""

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
    """Yield each check's result as it is known."""
    for check in checks:
        found = _look(check)
        yield Result(check=check.name, status=found.status, found=found.found, remedy=found.remedy)


def _look(check: Check) -> Finding:
    try:
        return check.look()
    except EmbedderError as error:
        found, _, remedy = str(error).partition("; ")
        return Finding("failed", found, remedy or "mend this first: a run would end with the same sentence")
    # A check that is itself at fault must not hide the others.
    except Exception as error:
        return Finding("failed", f"the check ended with {type(error).__name__}: {error}", "please report this as a bug")
