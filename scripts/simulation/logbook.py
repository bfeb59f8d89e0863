"""The books of a run once more, from nothing but the workers' log lines, as CloudWatch gets them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.simulation.attempts import Attempt, Child

COUNTS = ("Images", "Embedded", "Skipped", "Failed")

Line = Mapping[str, Any]


def read(log: Path) -> list[Line]:
    """The lines of a worker's log; what is no JSON object stands as a line with the member `odd`."""
    return [_parsed(line) for line in log.read_text(errors="replace").split("\n") if line]


def _parsed(text: str) -> Line:
    try:
        found = json.loads(text)
    except ValueError:
        return {"odd": text}
    return found if isinstance(found, dict) else {"odd": text}


def last_words(log: Path) -> str:
    """What a worker said last."""
    lines = read(log)
    return str(lines[-1].get("message", lines[-1].get("odd"))) if lines else "none"


def metrics(lines: Sequence[Line]) -> Counter[str]:
    """The sum of every metric, as a dashboard shows it."""
    found = Counter[str]()
    for line in lines:
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            for metric in directive["Metrics"]:
                found[metric["Name"]] += line[metric["Name"]]
    return found


def totals(children: Sequence[Child]) -> Counter[str]:
    """The metrics of all attempts of a run together."""
    found = Counter[str]()
    for child in children:
        for attempt in child.attempts:
            found += metrics(read(attempt.log))
    return found


def problems(children: Sequence[Child], status: Mapping[str, Any]) -> list[str]:
    """Where the log says something else than `submitter status`, a sentence each."""
    found: list[str] = []
    finished = Counter[str]()
    for child in children:
        for attempt in child.attempts:
            found += _attempt_problems(child, attempt)
        if child.succeeded:
            finished += metrics(read(child.attempts[-1].log))
    for name in COUNTS:
        if finished[name] != status[name.lower()]:
            found.append(f"the log's {name} are {finished[name]:g}, `submitter status` has {status[name.lower()]}")
    return found


def _attempt_problems(child: Child, attempt: Attempt) -> Iterator[str]:
    """An attempt's lines name it, and its metrics add up to its report, where it lived to write one."""
    lines = read(attempt.log)
    who = f"{child.name}, attempt {attempt.number}"
    for line in lines:
        if "odd" in line:
            yield f"the log of {who} has a line that is no JSON: {line['odd']!r}"
        elif (line["job"], line["attempt"]) != (child.job_id, attempt.number):
            yield f"the log of {who} has a line of {line['job']}, attempt {line['attempt']}"
    if attempt.ending.exit_code is None:
        return  # a machine that is taken away has no last words
    reports = [line["report"] for line in lines if "report" in line]
    sums = metrics(lines)
    for report in reports:
        if any(sums[name] != report[name.lower()] for name in COUNTS):
            yield f"the metrics of {who} are {dict(sums)}, its report says {report}"
