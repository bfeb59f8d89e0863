"""Check the books of a run with nothing but the workers' log lines, as CloudWatch gets them."""

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
    """Return the lines of a worker's log. A line that is no JSON object becomes one with the member `odd`."""
    return [_parsed(line) for line in log.read_text(errors="replace").split("\n") if line]


def _parsed(text: str) -> Line:
    try:
        found = json.loads(text)
    except ValueError:
        return {"odd": text}
    return found if isinstance(found, dict) else {"odd": text}


def last_words(log: Path) -> str:
    """Return the last message of a worker."""
    lines = read(log)
    return str(lines[-1].get("message", lines[-1].get("odd"))) if lines else "none"


def metrics(lines: Sequence[Line]) -> Counter[str]:
    """Sum up every metric, as a dashboard does."""
    found = Counter[str]()
    for line in lines:
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
            for metric in directive["Metrics"]:
                found[metric["Name"]] += line[metric["Name"]]
    return found


def totals(children: Sequence[Child]) -> Counter[str]:
    """Sum up the metrics of all attempts of a run."""
    found = Counter[str]()
    for child in children:
        for attempt in child.attempts:
            found += metrics(read(attempt.log))
    return found


def problems(children: Sequence[Child], status: Mapping[str, Any]) -> list[str]:
    """Return where the logs and `submitter status` disagree, a sentence each."""
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
    """Check that the lines of an attempt name it, and that its metrics add up to its report if it wrote one."""
    lines = read(attempt.log)
    who = f"{child.name}, attempt {attempt.number}"
    for line in lines:
        if "odd" in line:
            yield f"the log of {who} has a line that is no JSON: {line['odd']!r}"
        elif (line["job"], line["attempt"]) != (child.job_id, attempt.number):
            yield f"the log of {who} has a line of {line['job']}, attempt {line['attempt']}"
    if attempt.ending.exit_code is None:
        return  # a lost machine writes no report
    reports = [line["report"] for line in lines if "report" in line]
    sums = metrics(lines)
    for report in reports:
        if any(sums[name] != report[name.lower()] for name in COUNTS):
            yield f"the metrics of {who} are {dict(sums)}, its report says {report}"
