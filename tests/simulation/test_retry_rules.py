"""evaluateOnExit as Batch documents it, and our job definition's rules for every way a worker ends."""

from __future__ import annotations

from typing import Any

import pytest

from embedder import exit_codes
from infra.retry_rules import RETRY_STRATEGY
from scripts.simulation.retry_rules import TIMED_OUT, Ending, decide

TASK = "Essential container in task exited"


def exited(code: int, **changes: Any) -> Ending:
    return Ending(**{"exit_code": code, "status_reason": TASK, **changes})


@pytest.mark.parametrize(
    ("ending", "action"),
    [
        (Ending(status_reason="Host EC2 (instance i-0a1b2c3d) terminated."), "RETRY"),
        (exited(137, reason="OutOfMemoryError: Container killed due to memory usage"), "RETRY"),
        (exited(exit_codes.TRY_AGAIN), "RETRY"),
        (exited(exit_codes.SIGNAL_BASE + 15), "RETRY"),
        (Ending(status_reason="Task failed to start", reason="CannotPullContainerError: timeout"), "RETRY"),
        (exited(exit_codes.USAGE), "EXIT"),
        (exited(exit_codes.BAD_IMAGES), "EXIT"),
        (exited(exit_codes.BUG), "EXIT"),
    ],
)
def test_our_rules(ending: Ending, action: str) -> None:
    assert decide(RETRY_STRATEGY, ending, 1) == action


def test_a_reclaimed_instance_is_no_fault_of_the_worker_whatever_code_it_left() -> None:
    assert decide(RETRY_STRATEGY, exited(1, status_reason="Host EC2 (instance i-0a) terminated."), 1) == "RETRY"


def test_attempts_come_to_an_end() -> None:
    attempts = RETRY_STRATEGY["attempts"]
    lost = Ending(status_reason="Host EC2 (instance i-0a1b2c3d) terminated.")
    assert [decide(RETRY_STRATEGY, lost, number) for number in (attempts - 1, attempts)] == ["RETRY", "EXIT"]
    assert decide({}, lost, 1) == "EXIT"


def test_a_job_that_ran_out_of_time_is_not_tried_again() -> None:
    assert decide(RETRY_STRATEGY, exited(143, status_reason=TIMED_OUT), 1) == "EXIT"


def test_the_first_rule_that_fits_decides() -> None:
    first, second = {"onExitCode": "7*", "action": "exit"}, {"onExitCode": "75", "action": "retry"}
    assert decide({"attempts": 3, "evaluateOnExit": [first, second]}, exited(75), 1) == "EXIT"
    assert decide({"attempts": 3, "evaluateOnExit": [second, first]}, exited(75), 1) == "RETRY"


def test_all_conditions_of_a_rule_must_hold() -> None:
    rule = {"onExitCode": "1*", "onReason": "OutOfMemory*", "action": "EXIT"}
    strategy = {"attempts": 3, "evaluateOnExit": [rule]}
    assert decide(strategy, exited(137, reason="OutOfMemoryError: killed"), 1) == "EXIT"
    assert decide(strategy, exited(137), 1) == "RETRY"
    assert decide(strategy, exited(2, reason="OutOfMemoryError: killed"), 1) == "RETRY"
    assert decide(strategy, Ending(reason="OutOfMemoryError: killed"), 1) == "RETRY", "a lost container has no code"


def test_a_pattern_without_an_asterisk_is_the_whole_text() -> None:
    strategy = {"attempts": 3, "evaluateOnExit": [{"onExitCode": "13", "action": "EXIT"}]}
    assert decide(strategy, exited(13), 1) == "EXIT"
    assert decide(strategy, exited(137), 1) == "RETRY"


def test_batch_would_take_our_rules() -> None:
    """moto takes anything: https://docs.aws.amazon.com/batch/latest/APIReference/API_EvaluateOnExit.html"""
    rules = RETRY_STRATEGY["evaluateOnExit"]
    assert 1 <= RETRY_STRATEGY["attempts"] <= 10
    assert len(rules) <= 5
    for rule in rules:
        assert rule.keys() <= {"onExitCode", "onReason", "onStatusReason", "action"}
        code = rule.get("onExitCode", "0")
        assert code.removesuffix("*").isdecimal()
