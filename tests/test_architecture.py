"""Who may import whom, and what no module may do: docs/design.md, held by reading the source."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

SHARED = ["errors", "options", "config", "records", "system"]
"""What every room may use. None of it knows a stage."""

ARROWS = {
    "errors": "",
    "options": "errors",
    "config": "errors options",
    "records": "",
    "system": "errors",
    "exit_codes": "errors",
    "terminal": "SHARED",
    "models": "SHARED",
    # The stages. They never import each other.
    "sources": "SHARED",
    "decoding": "SHARED",
    "encoders": "SHARED",
    "stores": "SHARED",
    # What joins them, and its books.
    "logs": "SHARED",
    "pipeline": "SHARED exit_codes terminal models sources decoding encoders stores",
    # What a person does with stored vectors.
    "vectors": "SHARED exit_codes models stores pipeline",
    "exports": "SHARED terminal stores vectors",
    "indexes": "SHARED stores vectors",
    "pages": "SHARED sources decoding stores vectors",
    # The functions about stored vectors.
    "results": "SHARED pipeline stores vectors indexes pages",
    "doctor": "SHARED models sources decoding encoders stores",
    # The command line.
    "commands": "SHARED exit_codes terminal logs encoders pipeline stores vectors exports indexes pages results doctor",
    "cli": "SHARED exit_codes terminal logs commands __init__",
    "__main__": "cli",
    "__init__": "errors records pipeline vectors results",
}
"""The rooms of `embedder` (a flat module, or a package with all its files) and the rooms each may import.

A new room has to be entered here.
"""

HEAVY = {"torch", "torchvision"}
TORCH_ROOMS = {"models.torchvision", "models.timm", "models.open_clip", "encoders.pytorch", "encoders.cuda"}
"""The only modules that import torch when they are imported."""

MOST_LINES = 350


@dataclass(frozen=True, slots=True, kw_only=True)
class Module:
    """A source file, parsed."""

    path: Path

    @property
    def name(self) -> str:
        """`embedder.stores.sqlite`; a package is `embedder.stores.__init__`."""
        return ".".join(self.path.relative_to(ROOT).with_suffix("").parts)

    @property
    def room(self) -> str:
        """The part below the program: `stores`."""
        return self.name.split(".")[1]

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    def imports(self, *, for_types: bool = True) -> Iterator[str]:
        """The full names of what is imported, wherever in the file.

        Args:
            for_types: whether imports below `if TYPE_CHECKING` count.
        """
        for node in _walk(self.tree, for_types=for_types):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.name}: imports are written out"
                yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _walk(node: ast.AST, *, for_types: bool) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not for_types and isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield from _walk(child, for_types=for_types)


def modules(program: str) -> list[Module]:
    found = [Module(path=path) for path in sorted((ROOT / program).rglob("*.py"))]
    assert found
    return found


EMBEDDER = modules("embedder")
SUBMITTER = modules("submitter")
INFRA = [module for module in modules("infra") if not {".venv", "cdk.out"} & set(module.path.relative_to(ROOT).parts)]
each_module = pytest.mark.parametrize("module", EMBEDDER + SUBMITTER, ids=lambda module: module.name)
each_of_embedder = pytest.mark.parametrize("module", EMBEDDER, ids=lambda module: module.name)
each_of_infra = pytest.mark.parametrize("module", INFRA, ids=lambda module: module.name)
each_of_submitter = pytest.mark.parametrize("module", SUBMITTER, ids=lambda module: module.name)


def allowed(room: str) -> set[str]:
    words = ARROWS[room].split()
    return {room, *words, *(SHARED if "SHARED" in words else [])} - {"SHARED"}


@each_of_embedder
def test_imports_within_embedder_follow_the_arrows(module: Module) -> None:
    assert module.room in ARROWS, f"{module.name} is new: say in ARROWS what it may import"
    rooms = {str(path.stem) for path in (ROOT / "embedder").iterdir()}
    found = set()
    for name in module.imports():
        if name.split(".")[0] == "embedder":
            room = f"{name}.__init__".split(".")[1]
            found.add(room if room in rooms else "__init__")
    assert found <= allowed(module.room)


def test_the_arrows_make_no_circle_and_none_is_left_over() -> None:
    order = list(ARROWS)
    for room in order:
        above = set(order[: order.index(room) + 1]) | {"__init__"}
        assert allowed(room) <= above, f"{room} may import only what stands above it"
    assert {module.room for module in EMBEDDER} == set(ARROWS)


@each_of_embedder
def test_embedder_knows_of_submitter_only_the_format_of_a_run(module: Module) -> None:
    found = {name for name in module.imports() if name.split(".")[0] == "submitter"}
    assert all(name.startswith("submitter.manifest.") for name in found), found


@each_of_submitter
def test_submitter_needs_boto3_and_nothing_else(module: Module) -> None:
    found = {name.split(".")[0] for name in module.imports(for_types=False)}
    assert found <= sys.stdlib_module_names | {"boto3", "botocore", "submitter"}
    for_types = {name.split(".")[0] for name in module.imports()} - found
    for_types -= sys.stdlib_module_names | {"_typeshed"}
    assert all(name.startswith("mypy_boto3_") for name in for_types)


@each_of_infra
def test_infra_deploys_both_and_imports_neither(module: Module) -> None:
    found = {name.split(".")[0] for name in module.imports()}
    assert not found & {"embedder", "submitter"}
    assert len(module.path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@pytest.mark.parametrize(
    "name",
    ["__init__", "delivery", "instance_types", "retry_rules", "settings", "settings_checks", "stages", "worker_sizes"],
)
def test_what_the_tests_import_of_infra_needs_no_cdk(name: str) -> None:
    found = {each.split(".")[0] for each in Module(path=ROOT / "infra" / f"{name}.py").imports()}
    assert found <= sys.stdlib_module_names | {"infra"}


def test_the_job_monitor_needs_boto3_and_nothing_else() -> None:
    found = {each.split(".")[0] for each in Module(path=ROOT / "infra" / "job_monitor" / "handler.py").imports()}
    assert found <= sys.stdlib_module_names | {"boto3"}


@pytest.mark.parametrize("name", ["__init__", "address_column", "braces", "manifest"])
def test_the_format_of_a_run_needs_the_standard_library_alone(name: str) -> None:
    found = set(Module(path=ROOT / "submitter" / f"{name}.py").imports())
    others = {each for each in found if each.split(".")[0] not in sys.stdlib_module_names}
    assert all(each.startswith(("submitter.address_column.", "submitter.braces.")) for each in others), others


@each_module
def test_only_config_reads_the_environment(module: Module) -> None:
    found = {ast.unparse(node) for node in ast.walk(module.tree) if isinstance(node, ast.Attribute | ast.Name)}
    found |= set(module.imports())
    readers = found & {"os.environ", "os.environb", "os.getenv", "os.getenvb"}
    assert not readers or module.room == "config"


@each_module
def test_no_module_is_too_long(module: Module) -> None:
    assert len(module.path.read_text(encoding="utf-8").splitlines()) <= MOST_LINES


@each_module
def test_nothing_is_left_to_be_written(module: Module) -> None:
    stubs = [f"{module.name}:{node.lineno}" for node in _functions(module.tree) if _is_stub(node)]
    assert not stubs


def _functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions, except the methods of protocols, which have no body."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef) and "Protocol" in {ast.unparse(base) for base in child.bases}:
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
        yield from _functions(child)


def _is_stub(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether there is nothing but `...`, `pass` or `raise NotImplementedError`. A docstring alone says why."""
    body = [each for each in function.body if not _is_text(each)]
    return bool(body) and all(
        isinstance(each, ast.Pass)
        or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant) and each.value.value is Ellipsis)
        or (isinstance(each, ast.Raise) and "NotImplementedError" in ast.unparse(each))
        for each in body
    )


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@pytest.mark.parametrize("program", ["embedder", "submitter"])
def test_every_folder_is_a_package_of_a_typed_program(program: str) -> None:
    assert (ROOT / program / "py.typed").exists()
    folders = {path.parent for path in (ROOT / program).rglob("*.py")}
    assert all((folder / "__init__.py").exists() for folder in folders)


def loaded_by(names: list[str]) -> set[str]:
    """The packages that are loaded once these modules have been imported, in a process of its own."""
    program = f"import sys, {', '.join(names)}\nprint(*sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {name.split(".")[0] for name in done.stdout.split()}


def test_torch_is_loaded_by_the_engines_alone() -> None:
    names = [module.name.removesuffix(".__init__") for module in EMBEDDER if module.room != "__main__"]
    light = [name for name in names if name.removeprefix("embedder.") not in TORCH_ROOMS]
    assert len(light) == len(names) - len(TORCH_ROOMS)
    assert not loaded_by(light) & HEAVY


def test_the_command_line_loads_nothing_heavy() -> None:
    """So that `--help` answers at once, and signal handlers are there before the slow imports."""
    assert not loaded_by(["embedder.cli"]) & {*HEAVY, "boto3", "botocore", "PIL", "tqdm", "pyarrow", "safetensors"}


def test_a_run_is_read_without_boto3() -> None:
    assert not loaded_by(["submitter.manifest"]) & {"boto3", "botocore"}
