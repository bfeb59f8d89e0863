"""What a test does when a real part is not installed."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(reason: str) -> NoReturn:
    """Skip with the reason on a person's machine, fail in CI: there a skipped part would go unseen."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason} (in CI every part must be there)", pytrace=False)
    pytest.skip(reason)
