"""Ids as people type them: found in a store also where their characters are composed in another way."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from itertools import islice
from unicodedata import normalize

from embedder.stores import Store

LOOKED_AT = 20_000
"""Stored ids among which the nearest to a mistyped one are looked for."""

MOST_SUGGESTED = 3


def as_stored(store: Store, asked: Sequence[str]) -> list[str]:
    """Return each id that was asked for as the store writes it; one that is not stored in any form stays as it is.

    An id means itself, else the id that is equal after Unicode normalisation: a Mac writes an `é` as two characters,
    which print like the one that a keyboard gives. The store is asked only about ids that have several forms.
    """
    forms = {each: list(dict.fromkeys((each, normalize("NFC", each), normalize("NFD", each)))) for each in asked}
    unclear = [form for of_each in forms.values() if len(of_each) > 1 for form in of_each]
    known = store.lookup(list(dict.fromkeys(unclear))) if unclear else {}
    return [next((form for form in forms[each] if form in known), each) for each in asked]


def suggestions(store: Store, asked: Sequence[str]) -> list[list[str]]:
    """Return, for each id that is not stored, the few stored ids nearest to it: first those with its file name."""
    stored = [(_plain(each.image_id), each.image_id) for each in islice(store.describe(), LOOKED_AT)]
    by_plain = dict(stored)
    found = []
    for wanted in map(_plain, asked):
        file_name = wanted.rpartition("/")[2]
        same_name = [image_id for plain, image_id in stored if plain.rpartition("/")[2] == file_name]
        close = [by_plain[each] for each in get_close_matches(wanted, by_plain, n=MOST_SUGGESTED, cutoff=0.75)]
        found.append(list(dict.fromkeys([*same_name, *close]))[:MOST_SUGGESTED])
    return found


def _plain(name: str) -> str:
    return normalize("NFC", name).casefold()
