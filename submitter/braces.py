"""Many names in one: `{000..999}` and `{a,b}`, as shells and WebDataset write them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

MOST_NAMES = 100_000

BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")


def expand_braces(pattern: str) -> list[str]:
    """Return the names that a pattern stands for, each once; a name without braces stands for itself.

    Raises:
        ValueError: they are too many, as after a typing error.
    """
    found = list(islice(_expand(pattern), MOST_NAMES + 1))
    if len(found) > MOST_NAMES:
        raise ValueError(f"{pattern} stands for more than {MOST_NAMES:,} names; use several patterns")
    return list(dict.fromkeys(found))


def _expand(pattern: str) -> Iterator[str]:
    found = BRACES.search(pattern)
    if found is None:
        yield pattern
        return
    for part in _parts(found):
        for rest in _expand(pattern[found.end() :]):
            yield pattern[: found.start()] + part + rest


def _parts(found: re.Match[str]) -> Iterator[str]:
    first, last, listed = found.groups()
    if listed is not None:
        yield from listed.split(",")
        return
    width = len(first) if first.startswith("0") else 0
    step = 1 if int(first) <= int(last) else -1
    yield from (f"{number:0{width}}" for number in range(int(first), int(last) + step, step))
