"""A request: the fields of a Lambda event, checked. The command line fills in the same fields."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from submitter.errors import UsageError
from submitter.selection import DEFAULT_SUFFIXES

DEFAULT_SHARD_SIZE = 1000
MAX_SHARD_SIZE = 10_000
"""Several shards are in memory at once, and a worker that is lost repeats its whole shard."""

FIELDS = ("Paths", "WholeBucket", "Inventory", "ShardSize", "Suffixes", "DryRun", "Recompute")
EXPECTED = (
    'expected {"Paths": ["images"]}, optionally with WholeBucket (true), Inventory ("s3://…/manifest.json"), '
    f"ShardSize (1 to {MAX_SHARD_SIZE}), Suffixes (a list), DryRun and Recompute (true or false)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which images to embed, and how."""

    folders: tuple[str, ...]
    """Each ends with a slash and none contains another; `""` is the whole bucket."""
    inventory: str | None = None
    """The address of an S3 Inventory's manifest.json, which replaces the listing."""
    shard_size: int = DEFAULT_SHARD_SIZE
    suffixes: tuple[str, ...] = DEFAULT_SUFFIXES
    dry_run: bool = False
    recompute: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """The options that run.json passes to the workers."""
        return {"recompute": True} if self.recompute else {}


def parse_request(event: Mapping[str, Any]) -> Request:
    """Check the fields of an event.

    Raises:
        UsageError: a field is wrong; the sentence says what was expected.
    """
    _refuse_unknown(event)
    inventory = event.get("Inventory")
    if inventory is not None and not (isinstance(inventory, str) and inventory.startswith("s3://")):
        raise UsageError(f"Inventory is {inventory!r}, expected an address such as s3://BUCKET/…/manifest.json")
    return Request(
        folders=_folders(event.get("Paths"), _flag(event, "WholeBucket"), inventory is not None),
        inventory=inventory,
        shard_size=_shard_size(event.get("ShardSize", DEFAULT_SHARD_SIZE)),
        suffixes=parse_suffixes(event.get("Suffixes", list(DEFAULT_SUFFIXES))),
        dry_run=_flag(event, "DryRun"),
        recompute=_flag(event, "Recompute"),
    )


def _refuse_unknown(event: Mapping[str, Any]) -> None:
    for name in event:
        if name not in FIELDS:
            folded = {field.lower(): field for field in FIELDS}
            close = difflib.get_close_matches(str(name).lower(), folded, n=1)
            guess = f", did you mean {folded[close[0]]}?" if close else ""
            raise UsageError(f"the event has an unknown field {name!r}{guess} — {EXPECTED}")


def _flag(event: Mapping[str, Any], name: str) -> bool:
    value = event.get(name, False)
    if not isinstance(value, bool):
        raise UsageError(f"{name} is {value!r}, expected true or false")
    return value


def _shard_size(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_SHARD_SIZE:
        raise UsageError(f"ShardSize is {value!r}, expected a whole number from 1 to {MAX_SHARD_SIZE:,}")
    return value


def parse_suffixes(value: object) -> tuple[str, ...]:
    """Return suffixes in lower case, without their dot and without repetitions.

    Raises:
        UsageError: it is not a list of suffixes.
    """
    given = value if isinstance(value, list) else []
    suffixes = [each.lower().removeprefix(".") if isinstance(each, str) else "" for each in given]
    if not suffixes or not all(suffixes):
        raise UsageError(f'Suffixes is {value!r}, expected a list such as ["jpg", "png"]')
    return tuple(dict.fromkeys(suffixes))


def _folders(paths: object, whole_bucket: bool, has_inventory: bool) -> tuple[str, ...]:
    if paths is None and (whole_bucket or has_inventory):
        return ("",)
    if paths is None:
        raise UsageError(f"the event has no Paths — {EXPECTED}")
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        raise UsageError(f'Paths is {paths!r}, expected a list of folders such as ["images"]')
    folders = list(dict.fromkeys(_folder(path) for path in paths))
    if "" in folders and not whole_bucket:
        raise UsageError(
            'a path names the whole bucket: add "WholeBucket": true (--whole-bucket) to confirm, or name a folder'
        )
    if whole_bucket and "" not in folders:
        raise UsageError("WholeBucket is true, but no path names the whole bucket: remove one of the two")
    return tuple(
        folder for folder in folders if not any(folder != other and folder.startswith(other) for other in folders)
    )


def _folder(path: str) -> str:
    """Return a path as the key prefix of a folder: `images` becomes `images/`, which does not match `images-old/…`."""
    if path.startswith("s3://"):
        raise UsageError(f"the path {path!r} is an address: name a folder inside the bucket, such as 'images'")
    folder = path.lstrip("/")
    return folder if not folder or folder.endswith("/") else folder + "/"
