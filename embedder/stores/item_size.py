"""The size of a DynamoDB item, by which reads and writes are charged.

The rules are those of the developer guide, "DynamoDB item sizes and formats". A number is said to take about a byte for
two significant digits and one more; we count one more for a minus sign.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

CONTAINER_BYTES = 3
"""What a list takes by itself."""
ELEMENT_BYTES = 1
"""What each element of a list takes besides its value."""


def item_bytes(item: Mapping[str, Mapping[str, Any]]) -> int:
    """Return the size of an item, names of attributes included."""
    return sum(len(name.encode()) + _value_bytes(value) for name, value in item.items())


def write_units(size: int) -> int:
    """Return the write request units of an item of `size` bytes: one for each started KiB."""
    return math.ceil(size / 1024)


def _value_bytes(value: Mapping[str, Any]) -> int:
    ((kind, content),) = value.items()
    if kind == "S":
        return len(content.encode("utf-8", "surrogatepass"))
    if kind == "N":
        return number_bytes(content)
    if kind == "L":
        return CONTAINER_BYTES + sum(ELEMENT_BYTES + _value_bytes(each) for each in content)
    return len(content)


def number_bytes(text: str) -> int:
    """Return the size of a number: a byte for two significant digits, one more, and one for a minus sign."""
    mantissa = text.lower().partition("e")[0]
    digits = mantissa.lstrip("-").replace(".", "").lstrip("0")
    significant = digits.rstrip("0")
    return math.ceil(len(significant) / 2) + 1 + mantissa.startswith("-")
