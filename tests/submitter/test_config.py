import pytest

from submitter.config import VARIABLES, Settings
from submitter.errors import SettingsError


def test_the_first_that_has_a_setting_wins(submitter_environment: pytest.MonkeyPatch) -> None:
    for name, variable in VARIABLES.items():
        submitter_environment.setenv(variable, f"environment's {name}")
    settings = Settings.read({"bucket": "first", "table": None}, {"bucket": "second", "table": "", "queue": "mine"})
    assert settings == Settings(
        bucket="first", table="environment's table", queue="mine", definition="environment's definition"
    )


@pytest.mark.usefixtures("submitter_environment")
def test_what_is_missing_is_named() -> None:
    settings = Settings.read({"bucket": "b"})
    settings.require("bucket")
    with pytest.raises(SettingsError, match=r"not set: BATCH_JOB_QUEUE \(--queue\)\."):
        settings.require("bucket", "queue")
    with pytest.raises(SettingsError, match=r"DYNAMODB_TABLE_NAME .*BATCH_JOB_QUEUE .*BATCH_JOB_DEFINITION"):
        settings.require()
