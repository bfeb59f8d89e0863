"""A run's figures as CloudWatch metrics in the embedded metric format: members of a JSON log line.

A line counts only what was added since the line before; there are no running totals. So the sum of an attempt's lines
is its report, and a dashboard can sum over workers and time.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from embedder.pipeline.ledger import Tally
from embedder.pipeline.report import Report
from embedder.records import TIMED_STAGES

NAMESPACE = "embedder"

COUNTS = ("Images", "Embedded", "Skipped", "Failed")
STAGES = {f"{stage.capitalize()}Seconds": stage for stage in TIMED_STAGES}
RATE = "ImagesPerSecond"
FAILED_BY_STAGE = "FailedImages"

UNITS = dict.fromkeys(COUNTS, "Count") | dict.fromkeys(STAGES, "Seconds") | {RATE: "Count/Second"}

LEAST_SECONDS = 1.0
"""A rate over less time than this says little about the worker."""

Totals = dict[str, float]
"""The counts since the run began, by the metric's name; `FailedImages STAGE` for each stage."""


class Meter:
    """Turns running totals into the metrics of each log line.

    Args:
        deployment: the value of the dimension `Deployment`, which distinguishes installations.
    """

    def __init__(self, deployment: str) -> None:
        self.deployment = deployment
        self.told: Totals = {}
        self.began = self.last = time.monotonic()

    def take(self, totals: Totals) -> list[dict[str, Any]]:
        """Return the counts since the last call, as the members of log lines.

        Returns:
            One line, and one more for each stage in which images failed; no line if nothing was added.
        """
        new = {name: round(value - self.told.get(name, 0), 3) for name, value in totals.items()}
        if not any(new.values()):
            return []
        now = time.monotonic()
        seconds, first = now - self.last, self.last == self.began
        self.told = {
            name: self.told.get(name, 0) + value for name, value in new.items()
        }  # what rounding left comes later
        self.last = now
        values = {name: new.get(name, 0) for name in (*COUNTS, *STAGES)}
        if new["Embedded"] and (first or seconds >= LEAST_SECONDS):
            values[RATE] = round(new["Embedded"] / seconds, 2)
        lines = [self._members({"Deployment": self.deployment}, values, UNITS)]
        for name, count in new.items():
            metric, _, stage = name.partition(" ")
            if stage and count:
                dimensions = {"Deployment": self.deployment, "Stage": stage}
                lines.append(self._members(dimensions, {metric: count}, {metric: "Count"}))
        return lines

    def _members(
        self, dimensions: Mapping[str, str], values: Mapping[str, float], units: Mapping[str, str]
    ) -> dict[str, Any]:
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [list(dimensions)],
            "Metrics": [{"Name": name, "Unit": units[name]} for name in values],
        }
        about = {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}
        return {"_aws": about, **dimensions, **values}


def totals_of_tally(tally: Tally) -> Totals:
    """Return the totals of a run that is going on, or that an error ended."""
    failed = Counter[str]()
    for (stage, _), count in tally.causes.items():
        failed[stage] += count
    return _totals((tally.images, tally.embedded, tally.skipped, tally.failed), tally.seconds, failed)


def totals_of_report(report: Report) -> Totals:
    """Return the totals of a run that has ended by itself."""
    failed = Counter[str]()
    for cause, count in report.failures_by_cause.items():
        failed[cause.partition(":")[0]] += count
    return _totals((report.images, report.embedded, report.skipped, report.failed), report.seconds_by_stage, failed)


def _totals(counts: tuple[int, ...], seconds: Mapping[Any, float], failed: Mapping[str, int]) -> Totals:
    return {
        **dict(zip(COUNTS, counts, strict=True)),
        **{name: seconds.get(stage, 0.0) for name, stage in STAGES.items()},
        **{f"{FAILED_BY_STAGE} {stage}": count for stage, count in failed.items()},
    }
