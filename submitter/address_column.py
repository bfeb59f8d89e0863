"""Which column of a table holds the addresses of images."""

from __future__ import annotations

from collections.abc import Sequence

ADDRESS_COLUMNS = ("uri", "url", "path", "key", "image", "image_url", "image_path", "file", "filename", "file_name")
"""What the column may be called, in any case; the first of these that a table has is taken."""


def address_column(header: Sequence[str]) -> int:
    """Return the place of the column of addresses.

    Args:
        header: the columns' names.

    Raises:
        ValueError: none has such a name; the sentence goes on after the table's name.
    """
    lowered = [each.strip().lower() for each in header]
    for each in ADDRESS_COLUMNS:
        if each in lowered:
            return lowered.index(each)
    raise ValueError(
        f"has no column of addresses: it has {', '.join(header) or 'no header'}, and expected is one of "
        + ", ".join(ADDRESS_COLUMNS)
    )
