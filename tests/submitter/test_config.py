from __future__ import annotations

import pytest

from submitter.config import VARIABLES, Targets
from submitter.errors import SetupError


def test_the_first_that_has_a_setting_wins(submitter_environment: pytest.MonkeyPatch) -> None:
    for name, variable in VARIABLES.items():
        submitter_environment.setenv(variable, f"environment's {name}")
    targets = Targets.read({"bucket": "first", "table": None}, {"bucket": "second", "table": "", "queue": "mine"})
    assert targets == Targets(
        bucket="first", table="environment's table", queue="mine", definition="environment's definition"
    )


@pytest.mark.usefixtures("submitter_environment")
def test_what_is_missing_is_named() -> None:
    targets = Targets.read({"bucket": "b"})
    targets.require("bucket")
    with pytest.raises(SetupError, match=r"not set: BATCH_JOB_QUEUE \(--queue\)\."):
        targets.require("bucket", "queue")
    with pytest.raises(SetupError, match=r"DYNAMODB_TABLE_NAME .*BATCH_JOB_QUEUE .*BATCH_JOB_DEFINITION"):
        targets.require()
