"""Labels of a map's regions: of a list of words, the one that says best what a region shows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from embedder.errors import ConfigurationError
from embedder.pages.regions import Region, Word
from embedder.records import Vectors
from embedder.vectors import search


def read_labels(path: Path) -> tuple[list[str], int]:
    """Read labels from a UTF-8 file: a word or a phrase a line. Empty lines and lines that begin with `#` do not count.

    Returns:
        The labels, each once, and the number of lines that repeat one.

    Raises:
        ConfigurationError: the file cannot be read, or has fewer than two labels.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigurationError(f"--labels {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"--labels {path} is not UTF-8 text; expected a word or a phrase a line") from None
    words = [each.strip() for each in lines if each.strip() and not each.lstrip().startswith("#")]
    labels = check_labels(words, name=f"--labels {path}")
    return labels, len(words) - len(labels)


def check_labels(words: Iterable[str], *, name: str = "labels") -> list[str]:
    """Return labels without empty ones, each once.

    Args:
        name: where they come from, for the sentence.

    Raises:
        ConfigurationError: fewer than two are left.
    """
    if isinstance(words, str):
        raise ConfigurationError(f"{name}={words!r} is one text; expected a list of labels")
    labels = list(dict.fromkeys(each.strip() for each in words if each.strip()))
    if not labels:
        raise ConfigurationError(f"{name} has no label; expected a word or a phrase for each")
    if len(labels) == 1:
        raise ConfigurationError(
            f"{name} has one label, {labels[0]!r}, which would name every region; expected two or more to choose from"
        )
    return labels


def labelled(regions: Sequence[Region], units: Vectors, labels: Sequence[str], texts: Vectors) -> list[Region]:
    """Give each region the label whose vector is nearest to the mean direction of its images.

    A region whose images have no mean direction stays as it is.

    Args:
        units: the images' vectors, of length one, (n, dimension).
        texts: the labels' vectors, of length one, (labels, dimension).
    """
    directions = search.unit(np.stack([units[each.images].mean(axis=0, dtype=np.float64) for each in regions]))
    return [
        replace(region, word=_nearest(texts @ direction, labels)) if direction.any() else region
        for region, direction in zip(regions, directions, strict=True)
    ]


def _nearest(cosines: Vectors, labels: Sequence[str]) -> Word:
    first, second = np.argsort(-cosines, kind="stable")[:2].tolist()
    return Word(
        text=labels[first], score=float(cosines[first]), next_text=labels[second], next_score=float(cosines[second])
    )
