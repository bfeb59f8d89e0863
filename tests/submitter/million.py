"""Submit many keys against an S3 that answers at once, and print what that took. Run by test_million.py.

python -m tests.submitter.million 1000000
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from bisect import bisect_right
from collections import Counter
from pathlib import Path
from typing import Any

from submitter.config import Targets
from submitter.deadline import Deadline
from submitter.new_run import new_run_for
from submitter.request import Request
from submitter.submit import submit
from tests.submitter.fake_aws import BUCKET, Answer, FakeAws, listing_place, page_xml

_CONTENT = b"picture"


def _key(number: int) -> str:
    return f"images/{number // 1000:06d}/{number:012d}.jpg"


class EndlessFake(FakeAws):
    """Makes up its keys a page at a time and forgets the shards that it is given."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.calls: Counter[str] = Counter()
        self.made_up_seconds = 0.0

    def serve(self, operation: str, request: Any) -> Answer:
        self.calls[operation] += 1
        return super().serve(operation, request)

    def _listobjectsv2(self, request: Any) -> Answer:
        began = time.thread_time()
        _, after, size = listing_place(request.url)
        first = bisect_right(range(self.count), after, key=_key)
        last = min(first + size, self.count)
        keys = [(_key(n), _CONTENT) for n in range(first, last)]
        answer = Answer(page_xml(keys, more=last < self.count))
        self.made_up_seconds += time.thread_time() - began
        return answer

    def _putobject(self, request: Any) -> Answer:
        answer = super()._putobject(request)
        for key in [key for key in self.objects if "/shards/" in key]:
            self.objects[key] = b""
        return answer


def peak_megabytes() -> float:
    """The most memory this process had; what `getrusage` says includes its parent's before the exec."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return round(int(line.split()[1]) / 1024, 1)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(most / (2**20 if sys.platform == "darwin" else 2**10), 1)


def main(count: int) -> dict[str, Any]:
    environment = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",  # pragma: allowlist secret
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    }
    os.environ.update(environment)
    fake = EndlessFake(count)
    services = fake.connect()
    targets = Targets(bucket=BUCKET, table="vectors", queue="queue", definition="embedder")
    began, cpu = time.perf_counter(), time.process_time()
    new_run = new_run_for(
        Request(folders=("images/",), shard_size=1000), "million", bucket=BUCKET, services=services, deadline=Deadline()
    )
    submission = submit(new_run, targets, services)
    return {
        "images": submission.run.images,
        "shards": submission.run.shards,
        "seconds": round(time.perf_counter() - began, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "of_which_the_fakes": round(fake.made_up_seconds, 1),
        "peak_megabytes": peak_megabytes(),
        "calls": dict(fake.calls),
    }


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
