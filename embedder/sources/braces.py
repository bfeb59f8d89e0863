"""Many names in one, as the submitter reads them too: `{000..999}` and `{a,b}`."""

from __future__ import annotations

from embedder.errors import ConfigurationError
from submitter.manifest import BRACES, expand_braces


def expand(pattern: str) -> list[str]:
    """Return the names that a pattern stands for, each once; a name without braces stands for itself.

    Raises:
        ConfigurationError: they are too many, as after a typing error.
    """
    try:
        return expand_braces(pattern)
    except ValueError as error:
        raise ConfigurationError(f"{error}") from None


def fixed_folder(pattern: str) -> str:
    """Return the folder that all names of a pattern have in common, empty or with a slash at its end."""
    found = BRACES.search(pattern)
    fixed = pattern[: found.start()] if found else pattern
    return fixed[: fixed.rfind("/") + 1]
