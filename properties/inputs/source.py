"""Python source of functions, with all of the suite's that they use, so that a program can hold it.

What the suite runs is what the program prints: nothing is written twice.
"""

from __future__ import annotations

import ast
import functools
import inspect
import math
import textwrap
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

import torch

_SUITE = __name__.removesuffix(".inputs.source")
P = ParamSpec("P")
R = TypeVar("R")
_made: WeakKeyDictionary[Any, tuple[Any, tuple[Any, ...], dict[str, Any]]] = WeakKeyDictionary()


def remembered(factory: Callable[P, R]) -> Callable[P, R]:
    """A decorator: what the factory makes can be written as the call that made it."""

    @functools.wraps(factory)
    def make(*given: P.args, **named: P.kwargs) -> R:
        made = factory(*given, **named)
        _made[made] = (factory, given, dict(named))
        return made

    return make


class Source:
    """The import lines, constants and definitions of a program, in an order in which they run."""

    def __init__(self) -> None:
        self.imports: dict[str, None] = {"import torch": None}
        self.definitions: dict[str, str] = {}
        self._objects: dict[str, Any] = {}

    def lines(self) -> list[str]:
        """The definitions, a blank line after each."""
        return (
            "\n\n".join([*self.definitions.values(), ""]).splitlines() if self.definitions else []
        )

    def write(self, value: Any) -> str:
        """The expression for a value; what it needs is imported or defined."""
        try:
            made = _made.get(value)
        except TypeError:  # no weak reference leads to it
            made = None
        if made is not None:
            return self._call(*made)
        if isinstance(value, functools.partial):
            self.imports["import functools"] = None
            return f"functools.partial({self._arguments(value.func, value.args, value.keywords)})"
        if isinstance(value, FunctionType | type) and value.__module__.startswith(_SUITE):
            return self.define(value)
        if isinstance(value, float) and not math.isfinite(value):
            return repr(value)  # which `text.whole` imports
        if isinstance(value, tuple | list):
            items = ", ".join(map(self.write, value)) + ("," if len(value) == 1 else "")
            return f"({items})" if isinstance(value, tuple) else f"[{items.rstrip(',')}]"
        if value is None or isinstance(value, str | int | float | torch.dtype):
            return repr(value)
        return self._external(value)

    def enter(self, context: Any) -> str:
        """The expression that makes a context, from what makes it when called."""
        if isinstance(context, functools.partial):
            return self._call(context.func, context.args, context.keywords)
        return f"{self.write(context)}()"

    def define(self, found: Any) -> str:
        """A function or class of the suite, after what it uses; its name."""
        name: str = found.__name__
        if name in self._objects:
            if inspect.unwrap(self._objects[name]) is not inspect.unwrap(found):
                raise ValueError(f"two functions are called {name}, which one program cannot hold")
            return name
        self._objects[name] = found
        tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(found))))
        module = inspect.getmodule(inspect.unwrap(found))
        own = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and _stored(n)}
        own |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
        names = {k: v for k, v in vars(module).items() if k not in own}
        written = _Writer(self, names, own).visit(tree)
        self.definitions[name] = ast.unparse(ast.fix_missing_locations(written))
        return name

    def begin(self, function: Callable[[], Any]) -> None:
        """Have the program begin with a call of a function of the suite."""
        call = f"{self.define(function)}()"
        self.definitions[call] = call

    def entry(self, module: ModuleType, table: str, key: str) -> str:
        """What the function calls that begins an entry of a table of a module of the suite."""
        for node in ast.parse(inspect.getsource(module)).body:
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == table:
                assert isinstance(node.value, ast.Dict)
                keys = [ast.literal_eval(k) for k in node.value.keys if k is not None]
                made = node.value.values[keys.index(key)]
                assert isinstance(made, ast.Call)
                value = made.args[0]
                body = value.body if isinstance(value, ast.Lambda) else ast.Call(value, [], [])
                written = _Writer(self, vars(module), set()).visit(body)
                return ast.unparse(ast.fix_missing_locations(written))
        raise ValueError(f"there is no table {table}")

    def named(self, name: str, value: Any) -> None:
        """Have the name stand for a value of a module of the suite."""
        if isinstance(value, ModuleType):
            plain = value.__name__ == name
            self.imports[f"import {value.__name__}" + ("" if plain else f" as {name}")] = None
            return
        if isinstance(value, FunctionType | type) and value.__module__.startswith(_SUITE):
            self.define(value)
            return
        if isinstance(value, type) and getattr(torch, name, None) is value:
            self.imports[f"from torch import {name}"] = None
            return
        if isinstance(value, FunctionType | type) and not hasattr(torch, value.__name__):
            own = value.__name__ if value.__name__ == name else f"{value.__name__} as {name}"
            self.imports[f"from {value.__module__} import {own}"] = None
            return
        self.definitions.setdefault(name, f"{name} = {self.write(value)}")

    def _call(self, function: Any, given: tuple[Any, ...], named: dict[str, Any]) -> str:
        text = self._arguments(function, given, named)
        head, _, rest = text.partition(", ")
        return f"{head}({rest})"

    def _arguments(self, function: Any, given: tuple[Any, ...], named: dict[str, Any]) -> str:
        words = [self.write(function), *map(self.write, given)]
        return ", ".join([*words, *(f"{k}={self.write(v)}" for k, v in named.items())])

    def _external(self, value: Any) -> str:
        for place in ("torch", "torch.compiler", "torch.autograd.graph"):
            name = getattr(value, "__name__", "")
            if getattr(eval(place, {"torch": torch}), name, None) is value:
                return f"{place}.{name}"
        raise ValueError(f"a program cannot be written with {value!r}")


def _stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


class _Writer(ast.NodeTransformer):
    """Drops annotations, and has every name that a definition takes from its module defined."""

    def __init__(self, source: Source, names: dict[str, Any], own: set[str]) -> None:
        self.source, self.names, self.own = source, names, own

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        arguments = node.args
        for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            each.annotation = None
        for star in (arguments.vararg, arguments.kwarg):
            if star is not None:
                star.annotation = None
        node.decorator_list = [d for d in node.decorator_list if ast.unparse(d) != "remembered"]
        return self.generic_visit(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return self.generic_visit(ast.Assign([node.target], node.value))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        base = self.names.get(node.value.id) if isinstance(node.value, ast.Name) else None
        if isinstance(base, ModuleType) and base.__name__.startswith(_SUITE):
            if node.attr in self.own:
                raise ValueError(f"{node.attr} is a variable and a function in one definition")
            self.source.named(node.attr, getattr(base, node.attr))
            return ast.Name(node.attr, node.ctx)
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if isinstance(node.ctx, ast.Load) and node.id in self.names:
            self.source.named(node.id, self.names[node.id])
        return node
