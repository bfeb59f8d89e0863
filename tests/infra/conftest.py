"""The stages that the tests look at, each synthesized once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.infra.synthesis import FULL, PLAIN, Assembly, synthesize


@pytest.fixture(scope="session")
def plain(shared: Path) -> Assembly:
    """A stage with every setting at its default."""
    return synthesize(shared, "plain", PLAIN)


@pytest.fixture(scope="session")
def full(shared: Path) -> Assembly:
    """A stage with everything that is optional."""
    return synthesize(shared, "full", FULL)


@pytest.fixture(scope="session", params=["plain", "full"])
def stage(request: pytest.FixtureRequest) -> Assembly:
    """Each of them in turn."""
    found = request.getfixturevalue(request.param)
    assert isinstance(found, Assembly)
    return found
