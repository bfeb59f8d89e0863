"""What Batch does after a failed attempt: the job definition's `retryStrategy`, in Batch's own words.

The simulation and its tests use these rules too, so that the rules that are tested are those that are deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RETRY_STRATEGY: Mapping[str, Any] = {
    "attempts": 5,
    "evaluateOnExit": [
        # Before the exit codes, because a worker that loses its machine may end with any of them.
        {"onStatusReason": "Host EC2*", "action": "RETRY"},  # the Spot instance was reclaimed
        {"onExitCode": "1", "action": "EXIT"},  # a bug
        {"onExitCode": "2", "action": "EXIT"},  # usage or configuration
        {"onExitCode": "65", "action": "EXIT"},  # too many images are bad
    ],
}
"""The rules for `embedder run`. Batch retries what no rule names: 75 (a transient error), 143 (stopped), 137 and 139
(out of memory, crashed; the next attempt skips what is stored, so it gets further), and an image that could not be
pulled. Batch allows five rules and ten attempts. The rules do not apply to exit code 0."""
