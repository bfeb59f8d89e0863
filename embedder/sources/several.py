"""Several sources as one: `embedder run a.jpg b.jpg`, or what a shell makes of `photos/*.JPEG`."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from embedder.records import Failure, Reference, Sample
from embedder.sources import Countable, Selection, Source, open_source
from embedder.sources.naming import Seen, unique_stems
from embedder.system.doors import scheme_of

NAMED = 3
"""The most sources that the name of all lists."""


class SeveralSources:
    """The images of several sources, one source after the other; see `Source`.

    An image that two sources have is taken once. Two images with the same id are a failure that names both.
    """

    def __init__(self, sources: Sequence[Source], selection: Selection) -> None:
        self.sources = sources
        self.selection = selection
        self.name = joined_name([each.name for each in sources])
        self.readers = max(each.readers for each in sources)
        self.remote = any(each.remote for each in sources)
        self.ignored: Counter[str] = Counter()
        for each in sources:
            each.ignored = self.ignored
        self.by_scheme: dict[str, Source] = {}
        """The source that reads the addresses of a scheme: the last one whose listing had one."""
        counts = [each.total for each in sources]
        self.total = None if None in counts else sum(filter(None, counts))

    def references(self) -> Iterator[Reference | Failure]:
        found = self._listed()
        return unique_stems(found) if self.selection.image_id == "stem" else found

    def _listed(self) -> Iterator[Reference | Failure]:
        with Seen() as seen:
            for source in self.sources:
                for item in source.references():
                    yield from self._taken(item, source, seen)

    def _taken(self, item: Reference | Failure, source: Source, seen: Seen) -> Iterator[Reference | Failure]:
        if isinstance(item, Failure):
            yield item
            return
        match seen.before(item.image_id, item.uri):
            case "same":
                self.ignored["named twice"] += 1
            case "other" if self.selection.image_id != "stem":
                message = f"{item.uri} has the id of an image of another SOURCE; use --image-id uri"
                yield Failure(image_id=item.image_id, stage="check", error="Collision", message=message)
            case _:
                self.by_scheme[scheme_of(item.uri)] = source
                yield item

    def count(self) -> Iterator[object] | None:
        counts = [_count(each) for each in self.sources]
        return None if None in counts else itertools.chain.from_iterable(filter(None, counts))

    def read(self, reference: Reference) -> Sample:
        return self.by_scheme[scheme_of(reference.uri)].read(reference)

    def close(self) -> None:
        for each in self.sources:
            each.close()


def _count(source: Source) -> Iterable[object] | None:
    if source.total is not None:
        return range(source.total)
    return source.count() if isinstance(source, Countable) else None


def joined_name(names: Sequence[str]) -> str:
    """Return one name for several sources."""
    if len(names) <= NAMED:
        return ", ".join(names)
    return f"{names[0]} and {len(names) - 1:,} more"


def open_sources(names: Sequence[str], selection: Selection, *, stopping: threading.Event) -> Source:
    """Open one source, or several as one; it raises what `open_source` raises."""
    opened = [open_source(each, selection, stopping=stopping) for each in dict.fromkeys(names)]
    return opened[0] if len(opened) == 1 else SeveralSources(opened, selection)
