"""Everything that embedder raises on purpose.

EmbedderError
├── ConfigurationError   the user can mend it: a wrong option, a missing folder, unreachable weights
├── TransientError       the world may mend it: throttling, a broken network, a full disk
├── RejectedError        a store refuses one vector of several; the others can be stored
└── ImageError           one image is bad; the run goes on and reports it as a failure

The exit code that belongs to each is in `exit_codes.py`. Any other exception is a bug.
"""

from __future__ import annotations


class EmbedderError(Exception):
    """The root of the tree; its text is a sentence for the user."""


class ConfigurationError(EmbedderError):
    """What was asked for cannot be done as asked; trying again unchanged will not help."""


class TransientError(EmbedderError):
    """Something outside failed for longer than we were willing to wait; trying again may help."""


class RejectedError(EmbedderError):
    """The store will not take one of these vectors as it is; the others may be fine."""


class ImageError(EmbedderError):
    """One image cannot be embedded.

    Args:
        error: a short stable name to count by, for example `NotFound`.
        message: a sentence that says what was found.
        transient: whether another run may succeed with the image as it is.
    """

    def __init__(self, error: str, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.error = error
        self.message = message
        self.transient = transient
