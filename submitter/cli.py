"""The command line: `submitter submit`, `status`, `retry` and `verify`.

Exit codes: 0 done · 1 failures or differences were found · 2 usage or configuration · 75 a transient
error, try again · 130 Ctrl-C. A user's mistake is reported as one sentence on stderr.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any, cast

from submitter import commands
from submitter.errors import SubmitterError, aws_errors
from submitter.request import DEFAULT_SHARD_SIZE, IMAGE_IDS, MAX_SHARD_SIZE
from submitter.selection import DEFAULT_SUFFIXES

_EXAMPLES = """\
examples:
  submitter submit images --bucket my-bucket --dry-run
  submitter submit cats dogs --bucket my-bucket --table vectors --queue gpu --definition embedder
  submitter submit 'shards/{000..999}.tar' --bucket my-bucket
  submitter status s3://my-bucket/manifests/RUN_ID/ --watch
  submitter retry s3://my-bucket/manifests/RUN_ID/
  submitter verify s3://my-bucket/manifests/RUN_ID/
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        with aws_errors():
            return cast(int, arguments.command(arguments))
    except SubmitterError as error:
        if arguments.json:
            print(json.dumps({"error": str(error), "exit_code": error.exit_code}))
        print(f"submitter: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("submitter: stopped", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="submitter",
        description="Turn folders of an S3 bucket into AWS Batch jobs that embed their images.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    kinds = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_submit(kinds)
    _add_status(kinds)
    _add_retry(kinds)
    _add_verify(kinds)
    return parser


def _add_submit(kinds: Any) -> None:
    parser = kinds.add_parser("submit", help="list folders, write a run and submit its jobs")
    parser.set_defaults(command=commands.submit_paths)
    parser.add_argument("paths", nargs="*", metavar="PATH", help="a folder in the bucket, such as images, or tar files")
    parser.add_argument("--bucket", help="the bucket that holds the images and the run (S3_BUCKET_NAME)")
    parser.add_argument("--table", help="the DynamoDB table for the vectors (DYNAMODB_TABLE_NAME)")
    _add_batch_options(parser)
    parser.add_argument(
        "--shard-size",
        type=int,
        default=DEFAULT_SHARD_SIZE,
        metavar="N",
        help=f"the most images, or tar files, in one shard, up to {MAX_SHARD_SIZE:,} (default %(default)s)",
    )
    parser.add_argument(
        "--suffixes",
        default=",".join(DEFAULT_SUFFIXES),
        metavar="LIST",
        help="the file name endings of images, in any case, also in tar files (default %(default)s)",
    )
    parser.add_argument("--inventory", metavar="URI", help="read an S3 Inventory's manifest.json instead of listing")
    parser.add_argument(
        "--tars",
        action="store_true",
        help="submit the folders' .tar files, whose images the workers read; implied by a PATH such as "
        "'shards/{000..999}.tar'",
    )
    parser.add_argument(
        "--addresses",
        metavar="URI",
        help="submit the images whose addresses a table in S3 lists, .csv or .tsv, perhaps .gz, instead of a listing",
    )
    parser.add_argument(
        "--image-id", choices=IMAGE_IDS, default="key", help="what identifies an image (default %(default)s)"
    )
    parser.add_argument("--whole-bucket", action="store_true", help="submit every image of the bucket, without a PATH")
    parser.add_argument("--recompute", action="store_true", help="embed again what the table already holds")
    parser.add_argument("--dry-run", action="store_true", help="count and estimate; write and submit nothing")
    parser.add_argument("--rates", metavar="FILE", help="a JSON file of prices and speeds for --dry-run")
    parser.add_argument("--run-id", metavar="ID", help="continue a submission that was interrupted")
    _add_json(parser)


def _add_status(kinds: Any) -> None:
    parser = kinds.add_parser("status", help="show the progress of a run")
    parser.set_defaults(command=commands.show_status)
    _add_run(parser)
    parser.add_argument("--watch", action="store_true", help="repeat until the run is finished")
    parser.add_argument(
        "--interval",
        type=float,
        default=15.0,
        metavar="SECONDS",
        help="the time between two updates of --watch (default %(default)s)",
    )
    _add_json(parser)


def _add_retry(kinds: Any) -> None:
    parser = kinds.add_parser("retry", help="submit a new run of what failed or is missing")
    parser.set_defaults(command=commands.retry_run)
    _add_run(parser)
    _add_batch_options(parser)
    parser.add_argument("--now", action="store_true", help="do not wait for unfinished jobs of the run")
    parser.add_argument("--run-id", metavar="ID", help="continue a retry that was interrupted")
    _add_json(parser)


def _add_verify(kinds: Any) -> None:
    parser = kinds.add_parser("verify", help="name every image whose vector is missing or outdated")
    parser.set_defaults(command=commands.verify_run)
    _add_run(parser)
    parser.add_argument("--image-id", choices=IMAGE_IDS, help="the image ids that the workers used (default key)")
    _add_json(parser)


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN_URI", help="s3://BUCKET/manifests/RUN_ID/")


def _add_batch_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--queue", help="the Batch job queue (BATCH_JOB_QUEUE)")
    parser.add_argument("--definition", help="the Batch job definition (BATCH_JOB_DEFINITION)")


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line on stdout")
