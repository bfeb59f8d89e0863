"""Guessed keys are further on, and where keys are numbered they are numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from submitter.key_steps import steps_after


@pytest.mark.parametrize(
    ("sample", "steps"),
    [
        (["a/0996", "a/0997", "a/0999"], ["a/1002", "a/1005"]),
        (["a/0.jpg", "a/4.jpg"], ["a/8.jpg", "b/2.jpg"]),
        (["x/00fe.png", "x/0a1f.png", "x/0bfe.png"], ["x/16fe.png", "x/21fe.png"]),
        (["2026/01/30/9.jpg", "2026/02/01/3.jpg"], ["2026/02/71/7.j", "2026/03/42/1.j"]),
        (["日1", "日3"], ["日5", "日7"]),
        (["é", "ê"], ["ë", "ì"]),
        (["same", "same"], []),
        (["", "z"], []),
    ],
)
def test_steps(sample: list[str], steps: list[str]) -> None:
    assert steps_after(sample, 2)[:2] == steps


keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


@given(st.lists(keys, min_size=1, max_size=6, unique=True))
def test_any_keys(found: list[str]) -> None:
    sample = sorted(found)
    steps = steps_after(sample, 5)
    assert [sample[-1], *steps] == sorted({sample[-1], *steps})
    assert all(len(step.encode()) <= 4 * 48 for step in steps)
