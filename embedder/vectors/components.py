"""Which things hang together, as pairs of them become known."""

from __future__ import annotations

import numpy as np


class Components:
    """A partition of the numbers below `count`, at first each by itself."""

    def __init__(self, count: int) -> None:
        self.labels = np.arange(count)
        """Equal for two numbers exactly where they are joined."""
        self.members: dict[int, list[int]] = {}

    def join(self, one: int, other: int) -> None:
        """Put together the parts of two numbers; the smaller part takes the larger one's label."""
        large, small = int(self.labels[one]), int(self.labels[other])
        if large == small:
            return
        kept, moved = self.members.pop(large, [large]), self.members.pop(small, [small])
        if len(kept) < len(moved):
            large, kept, moved = small, moved, kept
        self.labels[moved] = large
        kept.extend(moved)
        self.members[large] = kept

    def groups(self) -> list[list[int]]:
        """Every part of more than one, its numbers sorted."""
        return sorted(sorted(each) for each in self.members.values())
