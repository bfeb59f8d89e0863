"""Every exit code of `embedder`, and what leads to it.

0    done; failures, if any, within --max-failures and reported
1    a bug, with a traceback; of `read`: ids that are not in the store; of `doctor`: a check failed
2    usage or configuration
65   too many images are bad, or every one is: trying again will not help
75   something passing is left: throttling, a broken network, a full disk; try again
130  stopped by Ctrl-C, after writing what was finished
143  stopped by SIGTERM, likewise

Where several hold: 130 or 143, then 75, then 65. 65 and 75 are EX_DATAERR and EX_TEMPFAIL of sysexits.h.
"""

from __future__ import annotations

from embedder.errors import EmbedderError, TransientError

DONE = 0
BUG = 1
NOT_FOUND = 1
UNHEALTHY = 1
USAGE = 2
BAD_IMAGES = 65
TRY_AGAIN = 75
SIGNAL_BASE = 128  # as a shell reports a process that a signal ended


def of_error(error: EmbedderError) -> int:
    """The exit code of an error that ended a command."""
    return TRY_AGAIN if isinstance(error, TransientError) else USAGE
