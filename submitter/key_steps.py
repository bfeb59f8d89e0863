"""Guess keys further on in a listing, from keys that have been listed.

A key is read as a number whose digits are its characters, each position with an alphabet of its own: after `a/0998` and
`a/0999` comes `a/1000`, not `a/099:`. A guess that is wrong makes a listing slower and never wrong.
"""

from __future__ import annotations

import string
from collections.abc import Sequence

_WINDOW = 8
"""Characters on either side of the first difference that are read as a number; the others stay as they are."""
_SURROGATES = range(0xD800, 0xE000)
"""Code points that no UTF-8 text contains."""
_LOWEST = 0x20
"""Control characters are never guessed."""
_WIDE = 0x110000 - len(_SURROGATES) - _LOWEST
"""The size of the alphabet of all characters."""


def steps_after(sample: Sequence[str], count: int) -> list[str]:
    """Return up to `count` keys beyond the last one, each as far from the one before as the last is from the first.

    Args:
        sample: keys in their order, at least the first and the last one of a stretch.
    """
    first, last = sample[0], sample[-1]
    differ = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    start = max(0, differ - _WINDOW)
    alphabets = _alphabets(sample, start, differ)
    step = _number(last, start, alphabets) - _number(first, start, alphabets)
    most = 1
    for alphabet in alphabets:
        most *= len(alphabet) or _WIDE
    number = _number(last, start, alphabets)
    found = []
    for _ in range(count):
        number += step
        if step <= 0 or number >= most:
            break
        found.append(last[:start] + _text(number, alphabets))
    return [each for each in found if each > last]


def _alphabets(sample: Sequence[str], start: int, differ: int) -> list[str]:
    """Return the alphabet of each position of the window; an empty one stands for all characters."""
    seen = [{key[at] for key in sample if at < len(key)} for at in range(start, differ + _WINDOW)]
    varied = set[str]().union(*(each for each in seen if len(each) > 1))
    letters = varied & set(string.ascii_letters)
    hexadecimal = bool(letters) and letters <= set(string.hexdigits) and bool(varied & set(string.digits))
    found = []
    for at, characters in enumerate(seen, start):
        fixed = at >= differ and len(characters) == 1  # such as the ending `.jpg`
        found.append("".join(sorted(characters)) if fixed else _closure(characters, hexadecimal))
    return [alphabet for characters, alphabet in zip(seen, found, strict=True) if characters]


def _closure(characters: set[str], hexadecimal: bool) -> str:
    """Return the characters that may stand where these stand: with one digit, every digit."""
    if any(not each.isascii() for each in characters):
        return ""
    groups = [string.digits, string.ascii_lowercase, string.ascii_uppercase]
    if hexadecimal and characters & set(string.hexdigits):
        groups = [string.digits + ("ABCDEF" if any(each.isupper() for each in characters) else "abcdef")]
    closed = set(characters)
    for group in groups:
        if characters & set(group):
            closed |= set(group)
    return "".join(sorted(closed))


def _number(key: str, start: int, alphabets: list[str]) -> int:
    number = 0
    for at, alphabet in enumerate(alphabets, start):
        size = len(alphabet) or _WIDE
        number = number * size + (_digit(key[at], alphabet) if at < len(key) else 0)
    return number


def _digit(character: str, alphabet: str) -> int:
    if alphabet:
        return alphabet.index(character)
    code = ord(character)
    return max(0, code - _LOWEST - (len(_SURROGATES) if code >= _SURROGATES.stop else 0))


def _text(number: int, alphabets: list[str]) -> str:
    characters = []
    for alphabet in reversed(alphabets):
        number, digit = divmod(number, len(alphabet) or _WIDE)
        characters.append(alphabet[digit] if alphabet else _character(digit))
    return "".join(reversed(characters))


def _character(digit: int) -> str:
    code = digit + _LOWEST
    return chr(code + len(_SURROGATES) if code >= _SURROGATES.start else code)
