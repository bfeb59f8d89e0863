"""What Batch does when an attempt has failed: the job definition's `retryStrategy`, in Batch's own words.

The simulation and its tests take the rules from here too, so that what is tried out is what is deployed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RETRY_STRATEGY: Mapping[str, Any] = {
    "attempts": 5,
    "evaluateOnExit": [
        # Before the codes: a worker that loses its machine may leave any of them.
        {"onStatusReason": "Host EC2*", "action": "RETRY"},  # the Spot instance was reclaimed
        {"onExitCode": "1", "action": "EXIT"},  # a bug
        {"onExitCode": "2", "action": "EXIT"},  # usage or configuration
        {"onExitCode": "65", "action": "EXIT"},  # too many images are bad
    ],
}
"""The rules for `embedder run`. What none of them names is worth another attempt, and Batch makes one: 75 (something
passing is left), 143 (told to stop), 137 and 139 (out of memory, crashed: what is stored is skipped, so the next
attempt gets further), an image that could not be pulled. Batch takes five entries at most, and no more than ten
attempts. 0 is success and never asked about."""
