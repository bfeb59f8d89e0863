"""What the programs ask of AWS, read off their source, and what a role allows."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import botocore.session
from botocore import xform_name

from tests.infra.synthesis import ROOT, Assembly

NEEDS = {
    # S3 says 403 in place of 404 for an object that is not there, where listing is not allowed.
    "s3:GetObject": ("s3:GetObject", "s3:ListBucket"),
    "s3:HeadObject": ("s3:GetObject", "s3:ListBucket"),
    "s3:CopyObject": ("s3:GetObject", "s3:PutObject"),
    "s3:ListObjectsV2": ("s3:ListBucket",),
    "s3:HeadBucket": ("s3:ListBucket",),
}
"""The actions behind an operation, where it is not one of the same name."""

CLIENTS = {"client", "s3", "pages", "batch", "submitting", "dynamodb"}
"""What the programs call their clients."""
SERVICES = ("s3", "dynamodb", "batch")


def actions(operation: str) -> tuple[str, ...]:
    return NEEDS.get(operation, (operation,))


def allowed(assembly: Assembly, role: str) -> set[str]:
    """All actions that a role has."""
    return {action for statement in assembly.statements(role) for action in _listed(statement["Action"])}


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def shown_arn(value: Any) -> str:
    """`<LogicalId>/rest`, whatever function of CloudFormation it is written with."""
    if isinstance(value, str):
        return value
    ((name, argument),) = value.items()
    if name == "Fn::Join":
        return str(argument[0]).join(shown_arn(part) for part in argument[1])
    return f"<{argument[0] if isinstance(argument, list) else argument}>"


def operations(*modules: str) -> set[str]:
    """What these modules, and what they import of the programs, call: `s3:GetObject`, read off the source."""
    names = _operations_by_method()
    found: set[str] = set()
    for path in _reached(modules):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in names and _is_client(node.value):
                found.add(names[node.attr])
            elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("get_paginator"):
                found.add(names[ast.literal_eval(node.args[0])])
    return found


def _is_client(node: ast.expr) -> bool:
    return ast.unparse(node).rpartition(".")[2] in CLIENTS


def _operations_by_method() -> dict[str, str]:
    session = botocore.session.get_session()
    return {
        xform_name(name): f"{service}:{name}"
        for service in SERVICES
        for name in session.get_service_model(service).operation_names
    }


def _reached(modules: tuple[str, ...]) -> set[Path]:
    """The files of modules, and of all that they import of the programs, however far away."""
    waiting, reached = [path for name in modules if (path := _file(name))], set[Path]()
    while waiting:
        path = waiting.pop()
        if path in reached:
            continue
        reached.add(path)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and ":" in node.value:
                names = [node.value.partition(":")[0]]  # a row of a table: `embedder.stores.sqlite:SQLiteStore`
            else:
                continue
            waiting += [found for name in names if (found := _file(name))]
    return reached


def _file(module: str) -> Path | None:
    if module.split(".")[0] not in ("embedder", "submitter") and not module.startswith("infra.job_monitor."):
        return None
    if not all(part.isidentifier() for part in module.split(".")):
        return None
    path = ROOT.joinpath(*module.split("."))
    found = path.with_suffix(".py") if path.with_suffix(".py").exists() else path / "__init__.py"
    return found if found.exists() else None
