"""The documents keep up with the program: what is not documented, or documented wrongly, fails here."""

from __future__ import annotations

import argparse
import ast
import contextlib
import io
import itertools
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

import embedder
from embedder import cli, exit_codes, options
from embedder.pipeline.report import Report
from embedder.records import ATTRIBUTES, Failure
from embedder.stores import dynamodb, sqlite_file
from submitter import cli as submitter_cli
from submitter import config as submitter_config
from submitter import request

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

POSITIONALS = {
    "embedder run": "photos/",
    "embedder read": "vectors.db",
    "embedder similar": "vectors.db cats/1.jpg",
    "embedder gallery": "vectors.db",
    "embedder duplicates": "vectors.db",
    "embedder index": "vectors.db",
    "embedder info": "vectors.db",
    "embedder doctor": "photos/",
    "submitter submit": "images",
    "submitter status": "s3://b/manifests/R/",
    "submitter retry": "s3://b/manifests/R/",
    "submitter verify": "s3://b/manifests/R/",
}
"""What the example of an option is tried with; a command that is not here gets nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One subcommand as argparse knows it."""

    name: str
    parser: argparse.ArgumentParser

    @property
    def options(self) -> set[str]:
        found = {word for action in self.parser._actions for word in action.option_strings}
        return found - {"-h", "--help"}

    @property
    def arguments(self) -> set[str]:
        positional = [action for action in self.parser._actions if not action.option_strings]
        return {str(action.metavar or action.dest) for action in positional}


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parsers of both programs, by name."""
    found = {}
    for name, module in (("embedder", cli), ("submitter", submitter_cli)):
        makers = [getattr(module, each) for each in ("parser", "_parser") if hasattr(module, each)]
        assert makers, f"{name}/cli.py has no function that makes its parser"
        found[name] = makers[0]()
    return found


def commands() -> list[Command]:
    """Every subcommand of both programs."""
    found = []
    for program, parser in parsers().items():
        groups = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
        assert groups, f"{program} has no commands"
        found += [Command(name=f"{program} {name}", parser=each) for name, each in groups[0].choices.items()]
    return found


COMMANDS = {command.name: command for command in commands()}
each_command = pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS.keys())
each_document = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


def section(text: str, title: str) -> str:
    """What stands below the second-level heading `title`."""
    parts = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    found = [part for part in parts if part.split("\n", 1)[0].strip() == title]
    assert len(found) == 1, f"expected one heading '## {title}', found {len(found)}"
    return found[0]


def rows(text: str) -> dict[str, list[str]]:
    """The rows of a text's tables, cell by cell, by the first cell."""
    lines = [line for line in text.split("\n") if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads = {index - 1 for index, row in enumerate(cells) if set("".join(row)) <= {"-", ":"}}
    return {row[0]: row for index, row in enumerate(cells) if index not in heads and index - 1 not in heads}


def quoted(rows: dict[str, list[str]]) -> set[str]:
    """The first word of everything in backticks in the first cells."""
    return {word.split()[0] for first in rows for word in re.findall(r"`([^`]+)`", first)}


def blocks(text: str, language: str) -> Iterator[str]:
    """The fenced blocks of a language."""
    yield from re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def accepts(arguments: list[str]) -> str | None:
    """What a program's parser has against a command line; None if it takes it."""
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        try:
            parsers()[arguments[0]].parse_args(arguments[1:])
        except SystemExit:
            return said.getvalue()
    return None


@each_command
def test_a_command_is_documented_with_all_its_options_and_no_others(command: Command) -> None:
    table = rows(section(REFERENCE, command.name))
    documented = quoted(table)
    assert documented == command.options | command.arguments
    short = [first for first, row in table.items() if len(row) != 3 or not row[1].endswith(".")]
    assert not short, "each has a sentence, and an example without a pipe in it"


@each_command
def test_the_example_of_every_option_is_taken(command: Command) -> None:
    for first, row in rows(section(REFERENCE, command.name)).items():
        for option in re.findall(r"`(--[a-z-]+)", first)[:1]:
            example = row[2].strip("`")
            assert option in example.split()
            words = [*command.name.split(), *POSITIONALS.get(command.name, "").split(), *shlex.split(example)]
            assert accepts(words) is None


@each_command
def test_a_command_has_a_help_text_and_an_example(command: Command) -> None:
    assert command.parser.format_help()
    undocumented = [action.dest for action in command.parser._actions if not action.help]
    assert not undocumented
    assert any(command.name in block for block in blocks(section(REFERENCE, command.name), "sh"))


@each_document
def test_command_lines_in_the_documents_are_taken(document: Path) -> None:
    for block in blocks(document.read_text(encoding="utf-8"), "sh"):
        for line in block.replace("\\\n", " ").split("\n"):
            words = shlex.split(line, comments=True)
            if words and words[0] in ("embedder", "submitter"):
                assert accepts(words) is None, line


@each_document
def test_python_in_the_documents_names_what_exists(document: Path) -> None:
    for block in blocks(document.read_text(encoding="utf-8"), "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "embedder":
                assert {alias.name for alias in node.names} <= set(embedder.__all__)


def test_the_environment_is_documented() -> None:
    ours = {options.environment_name(name) for name in (*options.OPTIONS, "source", "store", "json", "quiet", "log")}
    theirs = set(submitter_config.VARIABLES.values())
    table = rows(section(REFERENCE, "Environment"))
    assert quoted(table) == ours | theirs | read_elsewhere()
    for name in options.OPTIONS:
        assert table[f"`{options.environment_name(name)}`"][1] == f"`{options.option_name(name)}`"


def read_elsewhere() -> set[str]:
    """The names of ours that the code spells out, which are not options."""
    files = [path for folder in ("embedder", "submitter") for path in (ROOT / folder).rglob("*.py")]
    scripts = [path for path in (ROOT / "scripts").iterdir() if path.is_file()]
    found: set[str] = set()
    for path in (*files, *scripts):
        found |= set(re.findall(r"\bEMBEDDER_[A-Z_]+\b", path.read_text(encoding="utf-8")))
    return found


def test_exit_codes_are_documented() -> None:
    values = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    expected = (values - {exit_codes.SIGNAL_BASE}) | {130, 143}
    assert {int(code) for code in rows(section(REFERENCE, "Exit codes")) if code.isdigit()} == expected
    in_readme = {int(code) for first in rows(section(README, "Exit codes")) for code in re.findall(r"\d+", first)}
    assert in_readme == expected


def test_the_report_is_documented() -> None:
    assert quoted(rows(section(REFERENCE, "The report"))) == {field.name for field in fields(Report)} - {
        "first_failures"
    }


def test_failures_are_documented() -> None:
    documented = quoted(rows(section(REFERENCE, "Failures")))
    columns = {field.name for field in fields(Failure)} - {"transient"}
    assert documented == columns | set(error_names())


def error_names() -> Iterator[str]:
    """The names of failures that the code spells out, there or in a constant of another module."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "embedder").rglob("*.py")]
    constants = {
        node.targets[0].id: node.value
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    for node in itertools.chain.from_iterable(map(ast.walk, trees)):
        for given in error_arguments(node):
            value = constants.get(given.id) if isinstance(given, ast.Name) else given
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                yield value.value


def error_arguments(node: ast.AST) -> list[ast.expr]:
    """What a node gives as a failure's name: `ImageError(…)`, `Failure(error=…)`, `failure, … = (…), …`."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        if node.func.id == "ImageError":
            return node.args[:1]
        if node.func.id == "Failure":
            return [keyword.value for keyword in node.keywords if keyword.arg == "error"]
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
        names = [name.id for name in node.targets[0].elts if isinstance(name, ast.Name)]
        if names[:1] == ["failure"] and isinstance(node.value, ast.Tuple):
            first = node.value.elts[0]
            return first.elts[:1] if isinstance(first, ast.Tuple) else []
    return []


def test_a_stored_vector_is_documented() -> None:
    documented = rows(section(REFERENCE, "A stored vector"))
    assert quoted(documented) == {each.name for each in ATTRIBUTES}
    for each in ATTRIBUTES:
        _, cloud, file, _ = documented[f"`{each.name}`"]
        assert cloud.split(",")[0] == dynamodb.TYPES[each.kind]
        assert file.split(",")[0] == sqlite_file.TYPES[each.kind] + (" or NULL" if each.optional else "")


def test_the_fields_of_the_event_are_documented() -> None:
    assert quoted(rows(section(REFERENCE, "Lambda"))) == set(request.FIELDS)


def test_the_readme_begins_with_the_two_commands() -> None:
    first = next(blocks(README, "sh"))
    assert [line.split()[0] for line in first.strip().split("\n")] == ["scripts/run", "scripts/test"]
    assert README.index(first) < 2500, "whoever lands there sees them on the first screen or two"


def test_scripts_that_a_person_calls_are_in_the_readme_and_the_reference() -> None:
    found = [path for path in (ROOT / "scripts").iterdir() if path.is_file() and os.access(path, os.X_OK)]
    for path in found:
        about = path.read_text(encoding="utf-8").split("\n")[1]
        for_people = about.startswith(f"# scripts/{path.name}")
        assert for_people or about.startswith("# Called by"), f"{path.name} says neither how nor by whom it is called"
        if for_people:
            assert f"scripts/{path.name}" in README
            assert f"scripts/{path.name}" in quoted(rows(section(REFERENCE, "Scripts")))
    assert len(found) >= 4


@each_document
def test_links_lead_somewhere(document: Path) -> None:
    text = re.sub(r"^```.*?^```", "", document.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if not link.startswith(("https://", "http://", "mailto:")):
            name, _, anchor = link.partition("#")
            target = document.parent / name if name else document
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


def anchors(document: Path) -> set[str]:
    """What a document's headings can be linked as."""
    titles = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_decisions_are_dated() -> None:
    decisions = re.split(r"^## ", DESIGN, flags=re.MULTILINE)[1:]
    assert len(decisions) >= 10
    undated = [each.split("\n")[0] for each in decisions if not re.match(r".+\n\n20\d\d-\d\d-\d\d\. ", each)]
    assert not undated


def test_code_that_the_decisions_name_exists() -> None:
    for path in re.findall(r"`((?:embedder|submitter|scripts|tests)/[\w/.-]+)`", DESIGN + README + REFERENCE):
        assert (ROOT / path).exists(), path


def test_the_changelog_keeps_its_form() -> None:
    assert CHANGELOG.startswith("# Changelog\n")
    versions = re.findall(r"^## (.+)$", CHANGELOG, flags=re.MULTILINE)
    assert versions
    assert versions[0] == "[Unreleased]"
    released = [re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (20\d\d-\d\d-\d\d)", each) for each in versions[1:]]
    assert all(released), versions
    numbers = [tuple(map(int, each.groups()[:3])) for each in released if each]
    assert numbers == sorted(numbers, reverse=True)
    kinds = re.findall(r"^### (.+)$", CHANGELOG, flags=re.MULTILINE)
    assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert embedder.__version__ in CHANGELOG
    entries = re.sub(r"\A.*?^## ", "", CHANGELOG, flags=re.MULTILINE | re.DOTALL).split("\n")
    odd = [line for line in entries[1:] if line and not re.match(r"(###? |- |  \S|This will be )", line)]
    assert not odd, "below a version stand headings and lists"
