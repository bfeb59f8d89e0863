"""The job monitor's Lambda handler, `job_monitor.handler.handler`, for a schedule and for Batch's events about jobs.

It logs lines in CloudWatch's embedded metric format, which CloudWatch turns into metrics in the namespace `embedder`,
so it needs no permission to write metrics. Environment: `DEPLOYMENT`, `QUEUES` (ARNs, separated by commas).
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import boto3

_AT_WORK = ("STARTING", "RUNNING")
_UNITS = {"FailedJobs": "Count", "JobSeconds": "Seconds", "RunnableSeconds": "Seconds"}


def handler(event: Mapping[str, Any], _context: object) -> None:
    """Measure the queues, or log the job that an event is about."""
    if event.get("detail-type") == "Batch Job State Change":
        _note(event["detail"])
        return
    client = boto3.client("batch")
    for queue in os.environ["QUEUES"].split(","):
        _write({"RunnableSeconds": waiting_seconds(client, queue, time.time())}, queue=queue)


def waiting_seconds(client: Any, queue: str, now: float) -> float:
    """Return how long the oldest job of a queue has waited while no job runs; 0 if one runs or none waits.

    Children of a large array wait for hours while others run, and nothing is wrong. So waiting counts only while no job
    of the queue runs.
    """
    if any(_running(client, job) for job in _jobs(client, *_AT_WORK, "PENDING", jobQueue=queue)):
        return 0.0
    # The parent of an array is PENDING until all its children are done.
    waiting = [job["createdAt"] for job in _jobs(client, "RUNNABLE", "PENDING", jobQueue=queue)]
    return max(0.0, now - min(waiting) / 1000) if waiting else 0.0


def _running(client: Any, job: Mapping[str, Any]) -> bool:
    """Tell whether a job runs, or any child of it.

    Batch counts an array's children in its summary, but an older boto3 drops that field. Lambda's runtime decides which
    boto3 there is, so without the counts the children are listed.
    """
    array = job.get("arrayProperties", {})
    if "size" not in array:
        return job["status"] in _AT_WORK
    if "statusSummary" in array:
        return any(array["statusSummary"].get(state) for state in _AT_WORK)
    return any(True for _ in _jobs(client, *_AT_WORK, arrayJobId=job["jobId"]))


def _jobs(client: Any, *states: str, **place: str) -> Iterator[Mapping[str, Any]]:
    """Yield the jobs of a queue (`jobQueue`) or the children of an array (`arrayJobId`), page by page."""
    for state in states:
        for page in client.get_paginator("list_jobs").paginate(**place, jobStatus=state):
            yield from page["jobSummaryList"]


def _note(job: Mapping[str, Any]) -> None:
    """Log a job that ended. The end of an array is ignored, because its children are logged."""
    if "size" in job.get("arrayProperties", {}) and "index" not in job["arrayProperties"]:
        return
    metrics: dict[str, float] = {}
    if job["status"] == "FAILED":
        metrics["FailedJobs"] = 1
    if job.get("startedAt") and job.get("stoppedAt"):
        metrics["JobSeconds"] = (job["stoppedAt"] - job["startedAt"]) / 1000
    about = {name: job.get(name) for name in ("jobId", "jobName", "status", "statusReason")}
    _write(metrics, exitCode=job.get("container", {}).get("exitCode"), **about)


def _write(metrics: Mapping[str, float], **fields: Any) -> None:
    """Write one line with fields for people and metrics of this deployment."""
    directive = {
        "Namespace": "embedder",
        "Dimensions": [["Deployment"]],
        "Metrics": [{"Name": name, "Unit": _UNITS[name]} for name in metrics],
    }
    meta = {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [directive] if metrics else []}
    print(json.dumps({"_aws": meta, "Deployment": os.environ["DEPLOYMENT"], **fields, **metrics}))
