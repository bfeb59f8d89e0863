"""What a source lists and reads, in a form that is easy to compare."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from embedder.options import Layer, RunOptions
from embedder.records import Failure, Reference
from embedder.sources import Selection, Source, open_source


def source(name: str | Path, **options: Any) -> Source:
    """Open a source; options are written as on the command line."""
    chosen = RunOptions.resolve(Layer(values=options))
    selection = Selection.of(chosen)
    return open_source(str(name), selection, stopping=threading.Event())


def references(found: Source) -> list[Reference]:
    """Everything listed; a failure fails the test."""
    items = list(found.references())
    failures = [each for each in items if isinstance(each, Failure)]
    assert not failures
    return [each for each in items if isinstance(each, Reference)]


def failures(found: Source) -> dict[str, tuple[str, str]]:
    """Only what could not be listed: stage and error by id."""
    return {each.image_id: (each.stage, each.error) for each in found.references() if isinstance(each, Failure)}


def ids(name: str | Path, **options: Any) -> list[str]:
    return [each.image_id for each in references(source(name, **options))]
