"""Second copies of modules, whose threads are those of the scheduler.

Nothing of the project is changed or replaced for this. A copy is compiled from the module's own source. Its imports of
`threading`, `queue`, `time` and `concurrent.futures` find the scheduler's, those of other copied modules find the
copies, and all others find the real modules. Between any two statements of a copy's functions there is a switch point,
as there is after every reading of an attribute that a method may change. So `self.count += 1` and
`if self.free: self.free -= 1` can be interrupted in the middle, as on a Python without its global lock.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import importlib.util
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, TypeVar

from tests.schedules.primitives import MODULES, module
from tests.schedules.scheduler import number, pause

FUTURES = "concurrent.futures"
"""The standard library's package, of which copies are made too, without switch points of their own."""

N = TypeVar("N", bound=ast.AST)


class Copies:
    """Copies of some modules.

    Args:
        names: the modules to copy, each after those that it imports.
        changes: what to replace in a module's source, by the module's name: pieces of text, and what takes the place of
            each. With these a test shows that a mistake is found.
        modules: modules that all copies see in place of the real ones.
    """

    def __init__(
        self,
        *names: str,
        changes: Mapping[str, Mapping[str, str]] | None = None,
        modules: Mapping[str, ModuleType] | None = None,
    ) -> None:
        no_forks = module("os", **{key: value for key, value in vars(os).items() if key != "register_at_fork"})
        self.modules: dict[str, Any] = {**MODULES, "os": no_forks}
        base: Any = self._load(f"{FUTURES}._base", _plain(f"{FUTURES}._base"))
        _number_futures(base)
        self.modules[FUTURES] = module(FUTURES, _base=base)
        thread = self._load(f"{FUTURES}.thread", _plain(f"{FUTURES}.thread"))
        self.modules[FUTURES] = module(FUTURES, **{**vars(base), **vars(thread), "_base": base, "thread": thread})
        self.modules |= {"os": os, **(modules or {})}
        for name in names:
            self._load(name, _switching(name, *(changes or {}).get(name, {}).items()))

    def __getitem__(self, name: str) -> Any:
        return self.modules[name]

    def _load(self, name: str, code: CodeType) -> ModuleType:
        made = self.modules[name] = ModuleType(name)
        made.__dict__.update(
            __builtins__={**vars(builtins), "__import__": self._import},
            __switch__=pause,
            __seen__=_seen,
        )
        exec(code, made.__dict__)
        return made

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: tuple[str, ...] = (),
        level: int = 0,
    ) -> Any:
        if name in self.modules and (fromlist or "." not in name):
            return self.modules[name]
        real = builtins.__import__(name, globals, locals, fromlist, level)
        copied = {each: self.modules[f"{name}.{each}"] for each in fromlist or () if f"{name}.{each}" in self.modules}
        return module(name, **{**vars(real), **copied}) if copied else real


def _number_futures(base: Any) -> None:
    """Let `wait` go through futures in an order that the seed decides: theirs would be that of their addresses."""

    class Future(base.Future):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.number = number()

        def __hash__(self) -> int:
            return self.number

    base.Future = Future
    base.id = hash


def _seen(value: object) -> object:
    """Return a value that has just been read, after a switch point."""
    pause()
    return value


def _source(name: str) -> tuple[str, str]:
    """Return a module's source and its path."""
    importlib.import_module(name)  # `dataclasses` looks for the module of a class among those that are imported
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text(encoding="utf-8"), spec.origin


@cache
def _plain(name: str) -> CodeType:
    return compile(*_source(name), "exec")


@cache
def _switching(name: str, *changes: tuple[str, str]) -> CodeType:
    """Compile a module with switch points, after changes to its source."""
    source, path = _source(name)
    for before, after in changes:
        assert source.count(before) == 1, f"{name} has this {source.count(before)} times: {before}"
        source = source.replace(before, after)
    tree = ast.parse(source)
    return compile(ast.fix_missing_locations(_SwitchPoints(tree).visit(tree)), path, "exec")


class _SwitchPoints(ast.NodeTransformer):
    """Puts switch points into functions."""

    def __init__(self, tree: ast.AST) -> None:
        functions = [each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name != "__init__"]
        self.changing = {
            each.attr
            for function in functions
            for each in ast.walk(function)
            if isinstance(each, ast.Attribute) and isinstance(each.ctx, ast.Store)
        }
        """Attributes that change after an object was made."""
        self.within = False

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        before, self.within = self.within, True
        self.generic_visit(node)
        self.within = before
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        before, self.within = self.within, False
        self.generic_visit(node)
        self.within = before
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        if self.within and isinstance(node.ctx, ast.Load) and node.attr in self.changing:
            return _call("__seen__", node, node)
        return node

    def visit_AugAssign(self, node: ast.AugAssign) -> ast.stmt:
        self.generic_visit(node)
        target = node.target
        if not self.within or not isinstance(target, ast.Attribute):
            return node
        old = ast.Attribute(value=target.value, attr=target.attr, ctx=ast.Load())
        value = ast.BinOp(left=_call("__seen__", node, old), op=node.op, right=node.value)
        return ast.copy_location(ast.Assign(targets=[target], value=value), node)

    def generic_visit(self, node: N) -> N:
        super().generic_visit(node)
        if self.within and not isinstance(node, ast.ClassDef | ast.Lambda | ast.IfExp):
            for field in ("body", "orelse", "finalbody"):
                if isinstance(block := getattr(node, field, None), list):
                    setattr(node, field, [each for step in block for each in _with_switch(step)])
        return node


def _with_switch(step: ast.stmt) -> list[ast.stmt]:
    if isinstance(step, ast.Nonlocal | ast.Global) or (
        isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant)
    ):
        return [step]
    return [ast.copy_location(ast.Expr(_call("__switch__", step)), step), step]


def _call(name: str, at: ast.AST, *arguments: ast.expr) -> ast.Call:
    call = ast.Call(func=ast.Name(name, ast.Load()), args=list(arguments), keywords=[])
    for each in (call, call.func):
        ast.copy_location(each, at)
    return call
