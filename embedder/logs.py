"""Log lines: text for a person, JSON for a machine that gathers the lines of many workers.

Every JSON line names its run, shard and attempt, whether it is our progress, a library's warning, the sentence that
ends a command, or a bug with its traceback. A record is always one line, whatever characters it contains.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from embedder.config import Origin

logger = logging.getLogger("embedder")


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object. `extra={"fields": {…}}` adds members to it.

    Args:
        origin: added to every line.
    """

    def __init__(self, origin: Origin) -> None:
        super().__init__()
        self.origin = origin.as_json()

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": time.replace("+00:00", "Z"), "level": record.levelname}
        line |= {"message": record.getMessage(), "logger": record.name, **self.origin}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        fields: Mapping[str, Any] = getattr(record, "fields", {})
        return json.dumps({**line, **fields}, default=str)


def open_log(*, as_json: bool, origin: Origin, quiet: bool = False) -> None:
    """Send log lines to stderr and nowhere else: our own, and the warnings of libraries.

    Args:
        quiet: log warnings and errors only.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(origin) if as_json else logging.Formatter("%(asctime)s %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logger.setLevel(logging.WARNING if quiet else logging.INFO)
    logging.captureWarnings(as_json)


def is_json() -> bool:
    """Return whether log lines are JSON at the moment."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)


def complain(program: str, sentence: str) -> None:
    """Report in one sentence why a command ends."""
    if is_json():
        logger.error("%s: %s", program, sentence)
    else:
        print(f"{program}: {sentence}", file=sys.stderr)
