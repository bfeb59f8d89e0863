"""What Batch does after a failed attempt: evaluateOnExit, as documented.

https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

TIMED_OUT = "Job attempt duration exceeded timeout"
"""Batch's reason for the state of a job that it has stopped after its timeout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an attempt ended."""

    exit_code: int | None = None
    """None when the container was lost with its instance."""
    status_reason: str = ""
    """Batch's reason for the state of the job."""
    reason: str = ""
    """Batch's reason for the end of the container."""

    @property
    def succeeded(self) -> bool:
        return self.exit_code == 0


def decide(strategy: Mapping[str, Any], ending: Ending, attempt: int) -> Literal["RETRY", "EXIT"]:
    """Decide whether another attempt follows a failed one.

    The first rule all of whose conditions hold decides. If none does, the job is retried. After a timeout it is not.

    Args:
        attempt: the number of the failed attempt, counted from 1.
    """
    if attempt >= strategy.get("attempts", 1) or ending.status_reason == TIMED_OUT:
        return "EXIT"
    for rule in strategy.get("evaluateOnExit", ()):
        if _holds(rule, ending):
            return "RETRY" if rule["action"].upper() == "RETRY" else "EXIT"
    return "RETRY"


def _holds(rule: Mapping[str, str], ending: Ending) -> bool:
    found: dict[str, str | None] = {
        "onStatusReason": ending.status_reason,
        "onReason": ending.reason,
        "onExitCode": None if ending.exit_code is None else str(ending.exit_code),
    }
    return all(_fits(rule[name], text) for name, text in found.items() if name in rule)


def _fits(pattern: str, text: str | None) -> bool:
    """Match a pattern of Batch: the text itself, or its beginning followed by an asterisk."""
    if text is None:
        return False
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern
