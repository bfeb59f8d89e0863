"""Ids as people type them: found in a store also where their characters are composed in another way."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from itertools import islice
from unicodedata import normalize

from embedder.stores import Store

LOOKED_AT = 20_000
"""Stored ids among which the nearest to a mistyped one are looked for."""

MOST_SUGGESTED = 3


def as_stored(store: Store, asked: Iterable[str]) -> dict[str, str]:
    """Map each id that was asked for to the stored id that it means; one that is not stored has no entry.

    An id means itself, else the id that is equal after Unicode normalisation: a Mac writes an `é` as two characters,
    which print like the one that a keyboard gives.
    """
    forms = {each: dict.fromkeys((each, normalize("NFC", each), normalize("NFD", each))) for each in asked}
    known = store.lookup(list(dict.fromkeys(form for each in forms.values() for form in each)))
    found = {each: next((form for form in of_each if form in known), None) for each, of_each in forms.items()}
    return {each: form for each, form in found.items() if form is not None}


def suggestions(store: Store, asked: str) -> list[str]:
    """Return the few stored ids that are nearest to one that is not stored: first those with its file name."""
    stored = [each.image_id for each in islice(store.describe(), LOOKED_AT)]
    wanted = _plain(asked)
    same_name = [each for each in stored if _plain(each).rpartition("/")[2] == wanted.rpartition("/")[2]]
    plain = {_plain(each): each for each in stored}
    close = [plain[each] for each in get_close_matches(wanted, plain, n=MOST_SUGGESTED, cutoff=0.75)]
    return list(dict.fromkeys([*same_name, *close]))[:MOST_SUGGESTED]


def _plain(name: str) -> str:
    return normalize("NFC", name).casefold()
