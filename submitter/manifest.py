"""The format of a run in S3: `run.json`, its shards, and the files that the workers write.

A run is a folder, `s3://BUCKET/manifests/RUN_ID/`:

    run.json              what was requested and what was found          `Run`
    shards/00000.jsonl    one image or tar file a line                   `Entry`
    jobs.json             the jobs that process the shards
    failures/00000.jsonl  the images that a worker could not embed, and why
    reports/00000.json    the worker's report; a shard with a report is done
    reports/00000.members.jsonl.gz  the images that a worker found in the tar files of its shard

Both the submitter and the workers import this module, so it needs only the standard library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self, TypeAlias, get_args

# Also for embedder, which imports this module of the submitter's alone.
from submitter.address_column import address_column as address_column
from submitter.braces import BRACES as BRACES
from submitter.braces import expand_braces as expand_braces

SCHEMAS = (1, 2)
"""Those that this version reads. A run gets the lowest one that can express it, so that older workers can work on it. A
new one is needed when an older reader would misunderstand a newer run; a new optional field does not need one."""

RunKind: TypeAlias = Literal["images", "addresses", "tars"]
"""What a run's shards list: images of its bucket, images at addresses anywhere, or tar files of its bucket."""

EntryKind: TypeAlias = Literal["key", "uri", "tar"]
"""The first field of a line: an image of the run's bucket, an image at an address, or a tar file of the bucket."""

RUNS_PREFIX = "manifests/"
"""The folder of all runs. Its objects are never listed as images."""

Text = bytes | str

# ensure_ascii escapes every character that some reader might take for the end of a line (\n, \r, \x85, U+2028 …), so
# that an object is one line for every reader, whatever the key.
_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of a shard: an image, or a tar file of images."""

    key: str
    """The object's key, exactly as in S3; of a `uri`, the address."""
    etag: str | None
    """Without the double quotes that S3 puts around it; None if unknown."""
    size: int | None
    """Bytes; None if unknown."""
    kind: EntryKind = "key"
    only: tuple[str, ...] | None = None
    """The ids of the images that are wanted from a tar file; None for all."""

    def to_line(self) -> str:
        """Return the entry as one line, including its newline."""
        fields: dict[str, Any] = {self.kind: self.key, "etag": self.etag, "size": self.size}
        if self.only is not None:
            fields["only"] = self.only
        return _encode(fields) + "\n"

    def located(self, bucket: str) -> tuple[str, str]:
        """Return the key of which the image's id is made, and the URI.

        Args:
            bucket: the run's.

        Raises:
            ValueError: the entry has an address that nothing reads.
        """
        return (address_key(self.key), self.key) if self.kind == "uri" else (self.key, f"s3://{bucket}/{self.key}")


def address_key(uri: str) -> str:
    """Return the key of an image at an address: an S3 key, or a web address without its scheme.

    Raises:
        ValueError: nothing reads such addresses.
    """
    scheme, _, rest = uri.partition("://")
    if scheme in ("http", "https") and rest:
        return rest
    bucket, _, key = rest.partition("/")
    if scheme == "s3" and bucket and key:
        return key
    raise ValueError("expected s3://BUCKET/KEY, https://HOST/PATH or http://HOST/PATH")


def parse_entries(source: Text | Iterable[Text]) -> Iterator[Entry]:
    """Yield the entries of a shard, given whole or line by line. Blank lines are skipped.

    Only `\\n` ends a line: `str.splitlines` would also split at characters that a key may contain.

    Raises:
        ValueError: a line is not an entry; the sentence has its number.
    """
    if isinstance(source, bytes):
        lines: Iterable[Text] = source.split(b"\n")
    elif isinstance(source, str):
        lines = source.split("\n")
    else:
        lines = source
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _parse_entry(line, number)


def _parse_entry(line: Text, number: int) -> Entry:
    try:
        found = json.loads(line)
    except ValueError as error:  # also UnicodeDecodeError
        raise ValueError(f"line {number} of the shard is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"line {number} of the shard is not a JSON object")
    kinds: list[EntryKind] = [kind for kind in get_args(EntryKind) if kind in found]
    key = found[kinds[0]] if len(kinds) == 1 else None
    etag, size, only = found.get("etag"), found.get("size"), found.get("only")
    if not isinstance(key, str) or not key:
        raise ValueError(f"line {number} of the shard needs a `key`, a `uri` or a `tar`, a string that is not empty")
    if etag is not None and not isinstance(etag, str):
        raise ValueError(f"line {number} of the shard: `etag` is neither a string nor null")
    if size is not None and not _is_count(size):
        raise ValueError(f"line {number} of the shard: `size` is neither a number of bytes nor null")
    if only is not None and not (kinds == ["tar"] and _is_texts(only)):
        raise ValueError(f"line {number} of the shard: `only` is not a list of image ids of a `tar`")
    return Entry(key=key, etag=bare_etag(etag), size=size, kind=kinds[0], only=None if only is None else tuple(only))


def bare_etag(etag: str | None) -> str | None:
    """Return an ETag without the double quotes that HTTP requires around it."""
    return etag.strip('"') if etag is not None else None


_APPLE_DOUBLE = re.compile(r"(?<![^/])(?:\._[^/]*\Z|__MACOSX(?:/|\Z))")
_HIDDEN = re.compile(
    r"(?<![^/])(?:\.(?!\.?(?:/|\Z))"
    r"|(?:@eaDir|@Recycle|#recycle|\$RECYCLE\.BIN|System Volume Information)(?:/|\Z)"
    r"|(?:eh)?thumbs\.db\Z|desktop\.ini\Z)",
    re.IGNORECASE,
)


def no_picture(path: str, *, hidden: bool = False) -> str | None:
    """Return why a file is nobody's picture, whatever its suffix; None if it may be one.

    `AppleDouble`: what a Mac writes beside a file, `._NAME` and `__MACOSX/`. It may have an image's suffix and is none.
    `hidden`: a file or folder whose name begins with a dot, and what other systems hide: the thumbnails and deleted
    files of Windows, Synology and QNAP.

    Args:
        path: below the folder that somebody named, since what is named is wanted. A folder's may end with a slash.
        hidden: whether hidden files are wanted.
    """
    if _APPLE_DOUBLE.search(path):
        return "AppleDouble"
    return "hidden" if not hidden and _HIDDEN.search(path) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLocation:
    """The address of a run, and the keys of its objects.

    Numbers have five digits and grow past 99,999 without a gap. Sort them by `shard_number`: as text, `100000` sorts
    before `99999`.
    """

    bucket: str
    run_id: str
    prefix: str = RUNS_PREFIX
    """Everything between the bucket and the run's name; ends with a slash unless it is empty."""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Parse `s3://BUCKET/manifests/RUN_ID/`; the last slash is optional.

        Raises:
            ValueError: it is not such an address.
        """
        matched = re.fullmatch(r"s3://([^/]+)/((?:.*/)?)([^/]+)/?", uri, re.DOTALL)
        if matched is None:
            raise ValueError(f"{uri!r} is not the address of a run: expected s3://BUCKET/{RUNS_PREFIX}RUN_ID/")
        bucket, prefix, run_id = matched.groups()
        return cls(bucket=bucket, run_id=run_id, prefix=prefix)

    @property
    def root(self) -> str:
        """The key prefix of the run's objects; ends with a slash."""
        return f"{self.prefix}{self.run_id}/"

    @property
    def uri(self) -> str:
        return f"s3://{self.bucket}/{self.root}"

    @property
    def run_key(self) -> str:
        return f"{self.root}run.json"

    @property
    def jobs_key(self) -> str:
        return f"{self.root}jobs.json"

    @property
    def reports_prefix(self) -> str:
        return f"{self.root}reports/"

    def shard_key(self, number: int) -> str:
        return f"{self.root}shards/{shard_name(number)}"

    def report_key(self, number: int) -> str:
        return f"{self.reports_prefix}{number:05d}.json"

    def members_key(self, number: int) -> str:
        """The list of what a worker found in the tar files of its shard, an object a line, compressed."""
        return f"{self.reports_prefix}{number:05d}.members.jsonl.gz"

    def failures_key(self, number: int) -> str:
        return f"{self.root}failures/{number:05d}.jsonl"


def shard_name(number: int) -> str:
    """Return the file name of a shard."""
    return f"{number:05d}.jsonl"


def shard_number(key: str) -> int | None:
    """Return the number in the key of a shard, a report or a failures file; None for any other key."""
    matched = re.fullmatch(r"(?:.*/)?(\d{5,})\.jsonl?", key, re.DOTALL)
    return int(matched[1]) if matched else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The content of `run.json`. It never changes once it is written."""

    run_id: str
    bucket: str
    """Holds the run, and its images unless they have addresses."""
    kind: RunKind = "images"
    source: str
    """Where the list came from: `paths`, `notifications`, or the address of an inventory, a table or a run."""
    paths: tuple[str, ...]
    """The folders that were listed, each ending with a slash (`""` is the whole bucket), and names of tar files."""
    empty_paths: tuple[str, ...] = ()
    """Those of `paths` that contain no object at all, perhaps because they are misspelt."""
    images: int | None
    """None in a run of tar files: nobody knows before they are read."""
    tars: int | None = None
    """The number of tar files, in a run of these."""
    bytes: int
    """The sum over the images or tar files whose size is known."""
    skipped: Mapping[str, int]
    """Objects that were listed but left out, counted by reason."""
    shards: int
    shard_size: int
    """The most images, or tar files, in a shard."""
    table: str
    """The DynamoDB table: the default store of the run's workers."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options for the workers, by their names in `embedder run`, such as `{"recompute": true}`."""
    created: str
    """ISO 8601, UTC."""

    def to_json(self) -> str:
        return json.dumps({"schema": 1 if self.kind == "images" else 2, **asdict(self)}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: Text) -> Self:
        """Read `run.json`. Fields that this version does not know are ignored.

        Raises:
            ValueError: it is not a run, or its schema is unknown to this version.
        """
        try:
            found = json.loads(text)
        except ValueError as error:
            raise ValueError(f"run.json is not JSON: {error}") from error
        if not isinstance(found, dict):
            raise ValueError("run.json is not a JSON object")
        if found.get("schema") not in SCHEMAS:
            raise ValueError(
                f"run.json has schema {found.get('schema')!r}, but this program reads {SCHEMAS[0]} to {SCHEMAS[-1]}: "
                "use the version of the project that wrote the run, or submit again"
            )
        found = {"kind": "images", "tars": None, **found}  # older runs lack these
        for name, (expected, fits) in _RUN_FIELDS.items():
            if not fits(found.get(name)):
                raise ValueError(f"run.json needs `{name}`, {expected}, but has {found.get(name)!r}")
        if found["images"] is None and found["kind"] != "tars":
            raise ValueError("run.json: `images` is null, although the run is not of tar files")
        known: dict[str, Any] = {name: found[name] for name in _RUN_FIELDS}
        for name in ("paths", "empty_paths"):
            known[name] = tuple(known[name])
        return cls(**known)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_count_or_none(value: object) -> bool:
    return value is None or _is_count(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _is_counts(value: object) -> bool:
    return isinstance(value, dict) and all(_is_count(each) for each in value.values())


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


_RUN_FIELDS = {
    "run_id": ("a string", _is_text),
    "bucket": ("a string", _is_text),
    "kind": ("one of " + ", ".join(get_args(RunKind)), get_args(RunKind).__contains__),
    "source": ("a string", _is_text),
    "paths": ("a list of strings", _is_texts),
    "empty_paths": ("a list of strings", _is_texts),
    "images": ("a count, or null for tar files", _is_count_or_none),
    "tars": ("a count or null", _is_count_or_none),
    "bytes": ("a count", _is_count),
    "skipped": ("an object of counts", _is_counts),
    "shards": ("a count", _is_count),
    "shard_size": ("a count", _is_count),
    "table": ("a string", _is_text),
    "options": ("an object", _is_object),
    "created": ("a string", _is_text),
}
