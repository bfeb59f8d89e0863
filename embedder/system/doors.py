"""The tables where stores, sources, readers, engines and families are entered: finding a row, and what it names."""

from __future__ import annotations

import pkgutil
from typing import TypeVar, cast

T = TypeVar("T")


def scheme_of(name: str) -> str:
    """Return what stands before `://` in a name; nothing for a path."""
    scheme, separator, _ = name.partition("://")
    return scheme if separator else ""


def behind(entry: str | T) -> T:
    """Return what a row of a table names: `package.module:object` is imported now; anything else is meant itself."""
    return cast(T, pkgutil.resolve_name(entry)) if isinstance(entry, str) else entry
