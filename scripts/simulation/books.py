"""Does every image of a run have exactly one right vector, or a reason why not? Read from the services themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from scripts.simulation.cloud import Cloud
from submitter.manifest import Entry, Run, RunLocation, parse_entries


def problems(cloud: Cloud, run_uri: str) -> list[str]:
    """Return what does not balance in a run whose jobs have ended, a sentence each."""
    location = RunLocation.parse(run_uri)
    run = Run.from_json(cloud.get(location.run_key))
    items, reports = cloud.items(), set(cloud.keys(location.reports_prefix))
    found: list[str] = []
    listed: list[str] = []
    for number in range(run.shards):
        entries = list(parse_entries(cloud.get(location.shard_key(number))))
        listed += [entry.key for entry in entries]
        if location.report_key(number) not in reports:
            found.append(f"shard {number} has no report")
            continue
        report = json.loads(cloud.get(location.report_key(number)))
        failed = [json.loads(line)["image_id"] for line in cloud.get(location.failures_key(number)).splitlines()]
        found += _shard_problems(number, entries, report, failed, items)
    if len(listed) != run.images or len(set(listed)) != run.images:
        found.append(
            f"run.json counts {run.images} images, its shards list {len(listed)}, {len(set(listed))} of them different"
        )
    if len({item["Fingerprint"]["S"] for item in items.values()}) > 1:
        found.append("the table holds vectors of several models")
    return found


def _shard_problems(
    number: int,
    entries: list[Entry],
    report: Mapping[str, Any],
    failed: list[str],
    items: Mapping[str, Mapping[str, Any]],
) -> Iterator[str]:
    counts = [report[name] for name in ("embedded", "skipped", "failed")]
    if sum(counts) != report["images"] or report["images"] != len(entries):
        yield f"shard {number} lists {len(entries)} images, its report has {counts} of {report['images']}"
    if len(failed) != report["failed"] or not set(failed) <= {entry.key for entry in entries}:
        yield f"shard {number} counts {report['failed']} failures and names {failed}"
    for entry in entries:
        item = items.get(entry.key)
        if entry.key in failed:
            if item is not None:
                yield f"{entry.key!r} failed, but the table has a vector of it"
        elif item is None:
            yield f"{entry.key!r} did not fail, but the table has no vector of it"
        else:
            yield from _item_problems(entry, item)


def _item_problems(entry: Entry, item: Mapping[str, Any]) -> Iterator[str]:
    vector = np.frombuffer(item["Vector"]["B"], item["DataType"]["S"])
    if len(vector) != int(item["Dimension"]["N"]) or not np.isfinite(vector).all() or not vector.any():
        yield f"the vector of {entry.key!r} is not {item['Dimension']['N']} finite numbers, or all are zero"
    if entry.etag and entry.etag != item["ETag"]["S"]:
        yield f"the vector of {entry.key!r} was made from another version of it"
    if not item["Source"]["S"].endswith(f"/{entry.key}"):
        yield f"the vector of {entry.key!r} names as its source {item['Source']['S']!r}"
