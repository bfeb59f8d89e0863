"""The exceptions that embedder raises on purpose.

EmbedderError
├── ConfigurationError   the user can fix it: a wrong option, a missing folder, unreachable weights
├── TransientError       it may pass: throttling, a broken network, a full disk
├── RejectedError        a store refuses one vector of several; the others can be stored
└── ImageError           one image is bad; the run goes on and reports it as a failure

`exit_codes.py` has the exit code for each. Any other exception is a bug.
"""

from __future__ import annotations


class EmbedderError(Exception):
    """The base of all these errors. Its text is a sentence for the user."""


class ConfigurationError(EmbedderError):
    """The request cannot be carried out as it is; trying again unchanged will not help."""


class TransientError(EmbedderError):
    """Something outside the program failed for longer than embedder waits; trying again may help."""


class RejectedError(EmbedderError):
    """The store refuses one of the vectors of a group; it may take the others."""


class ImageError(EmbedderError):
    """One image cannot be embedded.

    Args:
        error: a short, stable name by which failures are counted, for example `NotFound`.
        message: a sentence that says what is wrong with the image.
        transient: whether another run may succeed although the image has not changed.
    """

    def __init__(self, error: str, message: str, *, transient: bool = False) -> None:
        super().__init__(message)
        self.error = error
        self.message = message
        self.transient = transient
