from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from submitter.new_run import new_run_id, run_id_for, run_id_for_messages

LEGAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@given(st.text())
def test_a_requests_id_becomes_a_legal_run_id(request_id: str) -> None:
    assert LEGAL.fullmatch(run_id_for(request_id))
    assert run_id_for(request_id) == run_id_for(request_id)


@given(st.text(), st.text())
def test_two_requests_are_two_runs(first: str, second: str) -> None:
    assert (run_id_for(first) == run_id_for(second)) == (first == second)


def test_lambdas_request_id_stays_as_it_is() -> None:
    request_id = "8f507cfc-xmpl-4697-b07a-ac58fc914c95"
    assert run_id_for(request_id) == request_id


def test_messages_in_any_order_are_one_run() -> None:
    assert run_id_for_messages(["a", "b"]) == run_id_for_messages(["b", "a"]) != run_id_for_messages(["ab"])
    assert LEGAL.fullmatch(run_id_for_messages(["a"]))


def test_a_terminals_run_id_is_new() -> None:
    assert new_run_id() != new_run_id()
    assert LEGAL.fullmatch(new_run_id())
