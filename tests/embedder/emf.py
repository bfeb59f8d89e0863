"""CloudWatch's embedded metric format, from its specification: what is metrics for CloudWatch, and what they sum to."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import jsonschema

UNITS = [
    *("Seconds", "Microseconds", "Milliseconds", "Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes"),
    *("Bits", "Kilobits", "Megabits", "Gigabits", "Terabits", "Percent", "Count", "None", "Count/Second"),
    *(f"{size}/Second" for size in ("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes", "Bits")),
]
NAME = {"type": "string", "minLength": 1, "maxLength": 1024}
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 1_000_000_000_000},
                "CloudWatchMetrics": {
                    "type": "array",
                    "minItems": 1,
                    "items": {
                        "type": "object",
                        "required": ["Namespace", "Dimensions", "Metrics"],
                        "additionalProperties": False,
                        "properties": {
                            "Namespace": {**NAME, "maxLength": 255, "pattern": r"^[^:][0-9A-Za-z.\-_/#]*$"},
                            "Dimensions": {
                                "type": "array",
                                "minItems": 1,
                                "items": {"type": "array", "maxItems": 30, "uniqueItems": True, "items": NAME},
                            },
                            "Metrics": {
                                "type": "array",
                                "minItems": 1,
                                "maxItems": 100,
                                "items": {
                                    "type": "object",
                                    "required": ["Name"],
                                    "additionalProperties": False,
                                    "properties": {
                                        "Name": NAME,
                                        "Unit": {"enum": UNITS},
                                        "StorageResolution": {"enum": [1, 60]},
                                    },
                                },
                            },
                        },
                    },
                },
            },
        }
    },
}
EVENT_BYTES = 256 * 1024
"""The oldest limit on a log event."""


def check(line: dict[str, Any]) -> None:
    """Raise for a line whose metrics CloudWatch would not take."""
    jsonschema.validate(line, SCHEMA)
    assert len(json.dumps(line)) < EVENT_BYTES
    for directive in line["_aws"]["CloudWatchMetrics"]:
        for name in {name for dimensions in directive["Dimensions"] for name in dimensions}:
            assert isinstance(line[name], str), name
            assert 0 < len(line[name]) <= 1024, name
        for metric in directive["Metrics"]:
            value = line[metric["Name"]]
            assert isinstance(value, int | float), metric
            assert not isinstance(value, bool), metric


def sums(lines: Iterable[dict[str, Any]]) -> Counter[str]:
    """What a dashboard's Sum shows of each metric; `FailedImages` by its stage, as `FailedImages decode`."""
    found = Counter[str]()
    for line in lines:
        if "_aws" in line:
            check(line)
            for directive in line["_aws"]["CloudWatchMetrics"]:
                for metric in directive["Metrics"]:
                    name = f"{metric['Name']} {line['Stage']}" if "Stage" in line else metric["Name"]
                    found[name] += line[metric["Name"]]
    return found


def parsed(text: str) -> list[dict[str, Any]]:
    """The lines of a log, each of which is a JSON object."""
    lines = [json.loads(line) for line in text.split("\n") if line]
    assert all(isinstance(line, dict) for line in lines)
    return lines
