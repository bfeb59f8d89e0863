"""Every exit code of `embedder`, and what it means.

0    done; any failures are reported and within --max-failures
1    a bug, with a traceback; for `read`: an id is not in the store; for `doctor`: a check failed
2    wrong usage or configuration
65   too many images are bad, or all of them; trying again will not help
75   a temporary problem remains: throttling, a broken network, a full disk; try again
130  stopped by Ctrl-C, after storing what was finished
143  stopped by SIGTERM, likewise

If several apply, 130 and 143 come before 75, and 75 before 65. sysexits.h calls 65 EX_DATAERR and 75 EX_TEMPFAIL.
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
    """Return the exit code for an error that ended a command."""
    return TRY_AGAIN if isinstance(error, TransientError) else USAGE
