"""A request: the fields of a Lambda event, checked. The command line fills in the same fields."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from submitter.braces import expand_braces
from submitter.errors import UsageError
from submitter.manifest import RunKind
from submitter.selection import DEFAULT_SUFFIXES, TAR_SUFFIX

DEFAULT_SHARD_SIZE = 1000
MAX_SHARD_SIZE = 10_000
"""Several shards are in memory at once, and a worker that is lost repeats its whole shard."""

IMAGE_IDS = ("key", "uri")

FIELDS = (
    *("Paths", "WholeBucket", "Inventory", "Tars", "Addresses"),
    *("ShardSize", "Suffixes", "ImageId", "DryRun", "Recompute"),
)
EXPECTED = (
    'expected {"Paths": ["images"]}, optionally with WholeBucket (true), Inventory ("s3://…/manifest.json"), '
    'Tars (true), Addresses ("s3://…/images.csv"), '
    f'ShardSize (1 to {MAX_SHARD_SIZE}), Suffixes (a list), ImageId ("key" or "uri"), '
    "DryRun and Recompute (true or false)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Which images to embed, and how."""

    folders: tuple[str, ...]
    """Each ends with a slash and none contains another; `""` is the whole bucket."""
    tar_paths: tuple[str, ...] = ()
    """Keys of tar files, in which braces may stand."""
    kind: RunKind = "images"
    inventory: str | None = None
    """The address of an S3 Inventory's manifest.json, which replaces the listing."""
    addresses: str | None = None
    """The address of a table of addresses, which replaces the listing."""
    shard_size: int = DEFAULT_SHARD_SIZE
    suffixes: tuple[str, ...] = DEFAULT_SUFFIXES
    """Of images; of the images in tar files, where these are listed."""
    image_id: str = "key"
    dry_run: bool = False
    recompute: bool = False

    @property
    def options(self) -> dict[str, Any]:
        """The options that run.json passes to the workers."""
        found: dict[str, Any] = {"recompute": True} if self.recompute else {}
        if self.image_id != "key":
            found["image_id"] = self.image_id
        if self.kind == "tars" and self.suffixes != DEFAULT_SUFFIXES:
            found["suffixes"] = list(self.suffixes)
        return found


def parse_request(event: Mapping[str, Any]) -> Request:
    """Check the fields of an event.

    Raises:
        UsageError: a field is wrong; the sentence says what was expected.
    """
    _refuse_unknown(event)
    inventory = _address(event, "Inventory", "manifest.json")
    addresses = _address(event, "Addresses", "images.csv")
    folders, tar_paths = _places(event, elsewhere=inventory is not None or addresses is not None)
    tars = _flag(event, "Tars") or bool(tar_paths)
    if addresses and (inventory or tars or "Paths" in event or event.get("WholeBucket")):
        raise UsageError("Addresses names the images by itself: remove Paths, WholeBucket, Inventory and Tars")
    if inventory and tar_paths:
        raise UsageError(
            f"{tar_paths[0]!r} names tar files: with an Inventory, name their folder and set Tars (--tars)"
        )
    return Request(
        folders=() if addresses else folders,
        tar_paths=tar_paths,
        kind="addresses" if addresses else "tars" if tars else "images",
        inventory=inventory,
        addresses=addresses,
        shard_size=_shard_size(event.get("ShardSize", DEFAULT_SHARD_SIZE)),
        suffixes=parse_suffixes(event.get("Suffixes", list(DEFAULT_SUFFIXES))),
        image_id=_image_id(event.get("ImageId", "key")),
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


def _address(event: Mapping[str, Any], name: str, example: str) -> str | None:
    value = event.get(name)
    if value is not None and not (isinstance(value, str) and value.startswith("s3://")):
        raise UsageError(f"{name} is {value!r}, expected an address such as s3://BUCKET/…/{example}")
    return value


def _image_id(value: object) -> str:
    if value not in IMAGE_IDS:
        raise UsageError(f"ImageId is {value!r}, expected {' or '.join(IMAGE_IDS)}")
    return str(value)


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


def _places(event: Mapping[str, Any], *, elsewhere: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the folders and the tar files that an event names.

    Args:
        elsewhere: whether the event names images without `Paths`.
    """
    paths, whole_bucket = event.get("Paths"), _flag(event, "WholeBucket")
    if paths is None and (whole_bucket or elsewhere):
        return ("",), ()
    if paths is None:
        raise UsageError(f"the event has no Paths — {EXPECTED}")
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        raise UsageError(f'Paths is {paths!r}, expected a list of folders such as ["images"]')
    for path in paths:
        _refuse_address(path)
    tar_paths = [path.lstrip("/") for path in paths if _is_tar(path)]
    folders = list(dict.fromkeys(_folder(path) for path in paths if not _is_tar(path)))
    if "" in folders and not whole_bucket:
        raise UsageError(
            'a path names the whole bucket: add "WholeBucket": true (--whole-bucket) to confirm, or name a folder'
        )
    if whole_bucket and "" not in folders:
        raise UsageError("WholeBucket is true, but no path names the whole bucket: remove one of the two")
    if folders and tar_paths and not _flag(event, "Tars"):
        raise UsageError(
            f"{tar_paths[0]!r} names tar files and {folders[0]!r} a folder: submit one after the other, or set Tars "
            "(--tars) if the folder's tar files are meant"
        )
    folders = [each for each in folders if not any(each != other and each.startswith(other) for other in folders)]
    return tuple(folders), tuple(dict.fromkeys(tar_paths))


def _is_tar(path: str) -> bool:
    """Tell whether a path names tar files; a folder of such a name ends with a slash."""
    return path.lower().endswith(f".{TAR_SUFFIX}")


def tar_keys(patterns: Sequence[str], folders: Sequence[str]) -> list[str]:
    """Return the keys of tar files, each once, without those that lie in one of the folders.

    Raises:
        UsageError: they are too many.
    """
    try:
        found = dict.fromkeys(key for pattern in patterns for key in expand_braces(pattern))
    except ValueError as error:
        raise UsageError(f"{error}") from None
    return [key for key in found if not key.startswith(tuple(folders))]


def _folder(path: str) -> str:
    """Return a path as the key prefix of a folder: `images` becomes `images/`, which does not match `images-old/…`."""
    folder = path.lstrip("/")
    return folder if not folder or folder.endswith("/") else folder + "/"


def _refuse_address(path: str) -> None:
    if path.startswith("s3://"):
        raise UsageError(f"the path {path!r} is an address: name a folder inside the bucket, such as 'images'")
