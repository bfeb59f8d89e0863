"""The watchman's Lambda: `job_monitor.handler.handler`, from a schedule and for Batch's events about jobs.

It writes lines in CloudWatch's embedded metric format to its log, from which CloudWatch makes metrics in the namespace
`embedder`, so it needs no permission to write any. Environment: `DEPLOYMENT`, `QUEUES` (ARNs, separated by commas).
"""

import json
import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import boto3

_AT_WORK = ("STARTING", "RUNNING")
_UNITS = {"FailedJobs": "Count", "JobSeconds": "Seconds", "RunnableSeconds": "Seconds"}


def handler(event: Mapping[str, Any], _context: object) -> None:
    """Measure the queues, or note the job that an event is about."""
    if event.get("detail-type") == "Batch Job State Change":
        _note(event["detail"])
        return
    client = boto3.client("batch")
    for queue in os.environ["QUEUES"].split(","):
        _write({"RunnableSeconds": waiting_seconds(client, queue, time.time())}, queue=queue)


def waiting_seconds(client: Any, queue: str, now: float) -> float:
    """How long the oldest job of a queue has waited while none runs; 0 while one does, or none waits.

    An array with thousands of children has some waiting for hours, and nothing is wrong; so what counts is that no
    job of the queue is at work.
    """
    if any(_running(client, job) for job in _jobs(client, *_AT_WORK, "PENDING", jobQueue=queue)):
        return 0.0
    # The parent of an array is PENDING for as long as any child of it is not done.
    waiting = [job["createdAt"] for job in _jobs(client, "RUNNABLE", "PENDING", jobQueue=queue)]
    return max(0.0, now - min(waiting) / 1000) if waiting else 0.0


def _running(client: Any, job: Mapping[str, Any]) -> bool:
    """Whether a job is at work, or any child of it.

    AWS counts an array's children in its summary, which a boto3 from before it did leaves away unseen. Lambda's
    runtime brings the boto3 that it likes, so without the counts the children themselves are asked for.
    """
    array = job.get("arrayProperties", {})
    if "size" not in array:
        return job["status"] in _AT_WORK
    if "statusSummary" in array:
        return any(array["statusSummary"].get(state) for state in _AT_WORK)
    return any(True for _ in _jobs(client, *_AT_WORK, arrayJobId=job["jobId"]))


def _jobs(client: Any, *states: str, **place: str) -> Iterator[Mapping[str, Any]]:
    """The jobs of a queue (`jobQueue`), or the children of an array (`arrayJobId`), page by page as they are wanted."""
    for state in states:
        for page in client.get_paginator("list_jobs").paginate(**place, jobStatus=state):
            yield from page["jobSummaryList"]


def _note(job: Mapping[str, Any]) -> None:
    """A job that ended: a child, or one that is no array. An array's own end says nothing that these do not."""
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
    """One line: fields to read, and metrics of this deployment."""
    directive = {
        "Namespace": "embedder",
        "Dimensions": [["Deployment"]],
        "Metrics": [{"Name": name, "Unit": _UNITS[name]} for name in metrics],
    }
    meta = {"Timestamp": round(time.time() * 1000), "CloudWatchMetrics": [directive] if metrics else []}
    print(json.dumps({"_aws": meta, "Deployment": os.environ["DEPLOYMENT"], **fields, **metrics}))
