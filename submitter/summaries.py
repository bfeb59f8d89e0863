"""Summaries of a submission, a dry run and a status, for people."""

from __future__ import annotations

from collections.abc import Mapping

from submitter.counted import counted
from submitter.dry_run import DryRun
from submitter.status import Status
from submitter.submit import Submission
from submitter.watch import bar, duration


def submission_text(submission: Submission) -> str:
    run = submission.run
    return _lines(
        {
            "run": submission.location.uri,
            **_content(run.images, run.tars, f"({size(run.bytes)}) in {counted(run.shards, 'shard')}"),
            "left out": _counts(run.skipped),
            "nothing in": ", ".join(repr(path) for path in run.empty_paths),
            "jobs": ", ".join(submission.jobs),
            "next": f"submitter status {submission.location.uri} --watch",
        }
    )


def dry_run_text(planned: DryRun) -> str:
    found = f"({size(planned.bytes)}) in {counted(planned.shards, 'shard')}, {counted(planned.jobs, 'job')}"
    estimated = planned.estimated
    return _lines(
        {
            **_content(planned.images, planned.tars, found),
            **({"images": f"about {estimated.images:,}, estimated: {estimated.basis}"} if estimated else {}),
            "left out": _counts(planned.skipped),
            "nothing in": ", ".join(repr(path) for path in planned.empty_paths),
            **_prices(planned),
            "next": "the same without --dry-run; nothing was written",
        }
    )


def _prices(planned: DryRun) -> Mapping[str, str]:
    cost = planned.cost
    starting = cost.starts + cost.idle
    return {
        "writes": f"{planned.write_units:,} DynamoDB write units, ${cost.dynamodb_writes:,.2f}",
        "reads": f"${cost.dynamodb_reads:,.2f} DynamoDB, ${cost.s3_requests:,.2f} S3 requests, "
        f"${cost.s3_retrieval:,.2f} S3 retrieval",
        "compute": f"{planned.vcpu_hours:,.1f} vCPU hours, ${cost.compute + starting:,.2f}, of which "
        f"${starting:,.2f} for workers and machines that start or wait",
        "in all": f"about ${cost.total:,.2f}, by {cost.rates_as_of}",
    }


def _content(images: int | None, tars: int | None, where: str) -> Mapping[str, str]:
    return {"tar files": f"{tars:,} {where}"} if images is None else {"images": f"{images:,} {where}"}


def status_text(status: Status) -> str:
    left = status.seconds_left
    missing = "an unknown number" if status.missing is None else f"{status.missing:,}"
    return _lines(
        {
            "run": status.run_uri,
            "progress": bar(status),
            "images": f"{status.embedded:,} embedded, {status.skipped:,} skipped (already in the table), "
            f"{status.failed:,} failed, {missing} missing",
            "shards": f"{status.shards_done:,} of {status.shards:,} done",
            "jobs": _counts(status.jobs),
            "left": duration(left) if left is not None else "",
            "failed": _counts(status.failures),
            "jobs failed": _counts(status.job_failures),
            "hint": "\n".join(status.hints),
        }
    )


def size(count: float) -> str:
    """Format a number of bytes for people."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:,.0f} {unit}" if unit == "B" else f"{count:,.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in counts.items())


def _lines(parts: Mapping[str, str]) -> str:
    """Format names and texts as two columns. Empty texts are left out."""
    rows = [(name, line) for name, text in parts.items() if text for line in text.split("\n")]
    return "\n".join(f"{name:<12}{line}" for name, line in rows)
