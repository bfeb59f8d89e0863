"""Dividing vectors into cells with faiss, and measuring on the vectors themselves what a search then finds."""

from __future__ import annotations

import math
from typing import Any

import faiss
import numpy as np

from embedder.records import Vectors
from embedder.system.steps import step

NEAREST_CELLS = 4
"""Cells in which each vector is looked for among near-duplicates."""
CELLS_FROM = 1000
"""With fewer vectors there is one cell."""
TRAINED = 50
"""Vectors a cell from which its centre is found."""
ROUNDS = 8
SAMPLE = 1000
"""Vectors on which recall is measured."""
NEAREST = 10
WANTED = 0.995
"""The recall that decides how many cells are searched: more than is promised, since it is measured on a sample."""
CHUNK = 8192
THRESHOLDS = (0.9, 0.95, 0.98)
SLACK = 1e-6


class Cells:
    """An index of vectors of length one, (n, dimension) float32."""

    def __init__(self, rows: Vectors) -> None:
        count, dimension = rows.shape
        self.rows = rows
        lists = 1 if count < CELLS_FROM else int(2 * math.sqrt(count))
        chance = np.random.default_rng(0)
        self.quantizer = faiss.IndexFlatIP(dimension)
        self.index: Any = faiss.IndexIVFScalarQuantizer(
            self.quantizer,
            dimension,
            lists,
            faiss.ScalarQuantizer.QT_8bit,
            faiss.METRIC_INNER_PRODUCT,
            False,  # the rows themselves are kept, not what is left of them after the centre
        )
        self.index.cp.niter = ROUNDS
        self.index.cp.min_points_per_centroid = 1  # with fewer than 39 faiss would warn, on stderr
        with step("finding the cells"):
            self.index.train(rows[np.sort(chance.choice(count, min(count, TRAINED * max(lists, 20)), replace=False))])
        self.sample = np.sort(chance.choice(count, min(count, SAMPLE), replace=False))
        self.best = np.full((len(self.sample), min(NEAREST, count)), -np.inf, np.float32)
        self.places = np.full(self.best.shape, -1)
        self.nearest = np.empty((count, min(NEAREST_CELLS, lists)), np.int32)
        with step("filling the cells", total=count) as advance:
            for start in range(0, count, CHUNK):
                self._add(start, np.ascontiguousarray(rows[start : start + CHUNK]))
                advance(min(CHUNK, count - start))

    def _add(self, start: int, part: Vectors) -> None:
        """Put rows into their cells, and compare the sample with them exactly."""
        _, cells = self.quantizer.search(part, self.nearest.shape[1])
        self.nearest[start : start + len(part)] = cells
        first = np.ascontiguousarray(cells[:, 0])
        numbers = np.arange(start, start + len(part))
        self.index.add_core(len(part), faiss.swig_ptr(part), faiss.swig_ptr(numbers), faiss.swig_ptr(first))
        scores = np.hstack([self.best, self.rows[self.sample] @ part.T])
        places = np.hstack([self.places, np.broadcast_to(numbers, (len(self.sample), len(part)))])
        width = self.best.shape[1]
        chosen = np.argpartition(scores, -width, axis=1)[:, -width:]
        self.best, self.places = np.take_along_axis(scores, chosen, 1), np.take_along_axis(places, chosen, 1)

    def measured(self) -> dict[str, Any]:
        """Return how many cells to search, the recall of the nearest ten then, and that of pairs by threshold."""
        probes, recall = 1, 0.0
        with step("measuring what it finds"):
            for probes in sorted({min(2**power, self.index.nlist) for power in range(3, 12)}):
                recall = self._recall(probes)
                if recall >= WANTED:
                    break
        return {"probes": probes, "recall": round(recall, 4), "pair_recall": self._pair_recall()}

    def _recall(self, probes: int) -> float:
        """Return the share of the exact nearest that is among those proposed; an equal cosine counts as found."""
        self.index.nprobe = probes
        proposed = self.index.search(self.rows[self.sample], min(3 * NEAREST + 20, len(self.rows)))[1]
        found = 0
        for own, places, best in zip(self.rows[self.sample], proposed, self.best, strict=True):
            scores = np.sort(self.rows[places[places >= 0]] @ own)[::-1][: len(best)]
            found += int((scores >= best.min() - SLACK).sum())
        return found / self.best.size

    def _pair_recall(self) -> dict[str, float]:
        """Return, by threshold, the share of the sample's pairs of which one's first cell is among the other's."""
        one = np.broadcast_to(self.sample[:, None], self.places.shape)
        apart = (one != self.places) & (self.places >= 0)
        a, b, scores = one[apart], self.places[apart], self.best[apart]
        met = (self.nearest[a, :1] == self.nearest[b]).any(axis=1) | (self.nearest[b, :1] == self.nearest[a]).any(
            axis=1
        )
        counts = {each: scores >= each for each in THRESHOLDS}
        return {str(each): round(float(met[chosen].mean()), 4) for each, chosen in counts.items() if chosen.any()}
