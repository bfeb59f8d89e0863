"""Mutation testing: one change to a module at a time, and whether the module's own tests notice it.

The tests run in a copy of the project, each time in a fork of this process, which has imported their libraries already.
"""

from __future__ import annotations

import argparse
import ast
import copy
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import hypothesis
import moto.server
import numpy
import PIL.Image
import pytest
import tenacity

PRELOADED = (boto3, hypothesis, moto.server, numpy, PIL.Image, pytest, tenacity)

DECIDING = {
    "submitter/manifest.py": ["tests/submitter/test_manifest.py"],
    "submitter/jobs.py": ["tests/submitter/test_jobs.py"],
    "submitter/submit.py": ["tests/submitter/test_submit.py"],
    "submitter/retry.py": ["tests/submitter/test_retry.py", "tests/submitter/test_cli.py"],
    "submitter/verify.py": ["tests/submitter/test_retry.py"],
    "embedder/pipeline/ledger.py": ["tests/embedder/pipeline/test_ledger.py"],
    "embedder/pipeline/skipping.py": ["tests/embedder/pipeline/test_skipping.py"],
    "embedder/pipeline/stages.py": [
        "tests/schedules/test_pipeline.py::test_in_every_order",
        "tests/embedder/pipeline/test_stages.py",
    ],
    "embedder/system/threads.py": [
        "tests/schedules/test_threads.py::test_in_every_order",
        "tests/embedder/system/test_threads.py",
    ],
    "embedder/decoding/processes.py": [
        "tests/schedules/test_processes.py::test_in_every_order",
        "tests/embedder/decoding/test_processes.py",
    ],
    "embedder/stores/sqlite.py": ["tests/embedder/stores"],
    "embedder/stores/dynamodb.py": ["tests/embedder/stores"],
    "embedder/decoding/decoder.py": ["tests/embedder/decoding"],
}
"""The modules that decide which images get lost, with the tests that must notice a change, the quickest first.

Of `tests/schedules`, only the tests of the module as it is: the others put a mistake into its text, which a change that
is written out anew no longer has.
"""

TIMEOUT = 120.0
"""Seconds that the tests may take. A change that makes them hang is noticed."""

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Add,
    ast.FloorDiv: ast.Mult,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module's source with one change."""

    line: int
    change: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    tree = ast.parse(source)
    deciding = {id(each) for function in _functions(tree) for step in function.body for each in ast.walk(step)}
    for number, node in enumerate(ast.walk(tree)):
        for variant in _variants(node) if id(node) in deciding else ():
            changed = copy.deepcopy(tree)
            target = next(each for index, each in enumerate(ast.walk(changed)) if index == number)
            before = ast.unparse(target).splitlines()[0]
            _replace(changed, target, variant)
            after = ast.unparse(variant).splitlines()[0]
            yield Mutant(getattr(node, "lineno", 0), f"{before}  →  {after}", ast.unparse(changed))


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef))


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a node may be changed into."""
    match node:
        case ast.Compare(ops=[operator], left=left, comparators=[right]) if type(operator) in COMPARISONS:
            yield ast.Compare(left=left, ops=[COMPARISONS[type(operator)]()], comparators=[right])
        case ast.BoolOp(op=operator, values=values):
            yield ast.BoolOp(op=ast.Or() if isinstance(operator, ast.And) else ast.And(), values=values)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=operator, right=right) if type(operator) in OPERATORS:
            yield ast.BinOp(left=left, op=OPERATORS[type(operator)](), right=right)
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            yield ast.Constant(value + 1)
        case ast.Return(value=value) if value is not None and not _is_none(value):
            yield ast.Return(value=ast.Constant(None))
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.AugAssign() | ast.Continue() | ast.Break():
            yield ast.Pass()


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _replace(tree: ast.AST, target: ast.AST, variant: ast.AST) -> None:
    """Put one node in the place of another."""
    for parent in ast.walk(tree):
        for name, value in ast.iter_fields(parent):
            if value is target:
                setattr(parent, name, variant)
            elif isinstance(value, list):
                value[:] = [variant if each is target else each for each in value]
    ast.fix_missing_locations(tree)


def passes(project: Path, tests: list[str]) -> bool:
    """Run tests in a fork, and return whether all pass in time."""
    if (child := os.fork()) == 0:
        os.setsid()
        os.chdir(project)
        sys.path.insert(0, str(project))
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        os._exit(pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-m", "not slow", *tests]))
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def survivors(project: Path, name: str, tests: list[str], every: int) -> tuple[list[Mutant], int]:
    """Return a module's mutants that its tests do not notice, and how many were tried."""
    path = project / name
    source = path.read_text(encoding="utf-8")
    if not passes(project, tests):
        sys.exit(f"mutants: the tests of {name} fail before anything is changed: {' '.join(tests)}")
    chosen = list(mutants(source))[::every]
    alive = []
    try:
        for mutant in chosen:
            path.write_text(mutant.source, encoding="utf-8")
            if passes(project, tests):
                alive.append(mutant)
                print(f"  {name}:{mutant.line}: {mutant.change}", flush=True)
    finally:
        path.write_text(source, encoding="utf-8")
    return alive, len(chosen)


def tests_of(name: str) -> list[str]:
    """Return the tests of a module: those that the table names, else its mirror below `tests/`."""
    path = Path(name)
    return DECIDING.get(name) or [str(Path("tests") / path.parent / f"test_{path.name}")]


def main() -> None:
    """Print what survives of each module, and a table."""
    parser = argparse.ArgumentParser(prog="scripts/mutants")
    parser.add_argument("files", nargs="*", metavar="FILE")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try each N-th change only")
    arguments = parser.parse_args()
    table = []
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        ignored = shutil.ignore_patterns(".git", "cdk.out", "__pycache__", ".venv", "docs")
        shutil.copytree(Path.cwd(), project, ignore=ignored)
        (project / ".venv").symlink_to(Path.cwd() / ".venv")
        for name in arguments.files or DECIDING:
            alive, tried = survivors(project, name, tests_of(name), arguments.every)
            table.append((name, tried - len(alive), tried))
    for name, noticed, tried in table:
        print(f"{name:40} {noticed:4} of {tried:4} noticed, {noticed / max(tried, 1):.0%}")


if __name__ == "__main__":
    main()
