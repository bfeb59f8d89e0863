"""The modules of each room import each other in one direction, imports for type checkers included."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def imports(path: Path, package: str) -> set[str]:
    """The modules of `package` that a file imports, by their dotted names."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.startswith(f"{package}.")}


@pytest.mark.parametrize("package", ["submitter", "infra", "scripts.simulation"])
def test_no_circle(package: str) -> None:
    folder = ROOT.joinpath(*package.split("."))
    modules = {f"{package}.{path.stem}": path for path in folder.glob("*.py") if path.stem != "__init__"}
    graph = {name: imports(path, package) & modules.keys() for name, path in modules.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(modules) > 10
