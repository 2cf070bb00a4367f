"""Where two texts differ as Python: in which functions, in docstrings only, by names only."""

from __future__ import annotations

import ast
import functools
import io
import tokenize
import warnings
from dataclasses import dataclass, field

_Named = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_DOCSTRING = "the module's docstring"


class NotPython(Exception):
    """The text does not parse; the message says where."""


@dataclass
class Difference:
    """What tells a text from a release, by the names of its top-level parts.

    A part is a function, a class, an assignment (by the names it assigns), the module's docstring,
    the imports together, or the other statements together.
    """

    code: list[str] = field(default_factory=list)
    docstrings: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    order: bool = False
    comments: bool = False

    @property
    def same_code(self) -> bool:
        """Whether only docstrings and comments differ, if anything does."""
        return not (self.code or self.missing or self.added or self.renamed or self.order)

    @property
    def same_words(self) -> bool:
        """Whether docstrings, indentation aside, and comments are the same."""
        return not (self.docstrings or self.comments)

    def lines(self) -> list[str]:
        """Each kind of difference in a line."""
        named = [
            ("code differs: ", self.code),
            ("only the docstring differs: ", self.docstrings),
            ("missing: ", self.missing),
            ("added: ", self.added),
            ("renamed: ", [f"{old} to {new}" for old, new in self.renamed]),
        ]
        told = [title + ", ".join(names) for title, names in named if names]
        told += ["code differs: the same parts stand in another order"] if self.order else []
        return told + (["comments differ"] if self.comments else [])


def difference(release: str, text: str) -> Difference:
    """Compare a text with that of a release.

    Raises:
        NotPython: the text does not parse.
    """
    renames = _renames(release, text)
    pairs = tuple(renames.items())
    code, other_code = _parts(release, False, pairs), _parts(text, False)
    words, other_words = _parts(release, True, pairs), _parts(text, True)
    found = Difference(
        missing=[name for name in code if name not in other_code],
        added=[name for name in other_code if name not in code],
        renamed=sorted(renames.items()),
        comments=_comments(release) != _comments(text),
    )
    for name in other_code:
        if name in code and code[name] != other_code[name]:
            found.code.append(name)
        elif name in code and words[name] != other_words[name]:
            found.docstrings.append(name)
    # Only where nothing else was moved, added or taken out can an order be compared.
    found.order = found.same_code and _order(release, pairs) != _order(text)
    return found


def shares_code(release: str, text: str) -> bool:
    """Whether some function of the text, whatever its name, is one of the release.

    Raises:
        NotPython: the text does not parse.
    """
    bodies = _bodies(text, _functions(text))
    return any(body in bodies for body in _bodies(release, _functions(release)))


def taken(release: str, text: str) -> dict[str, list[str]]:
    """Which functions of the release the text imports under their names, by the module named.

    Raises:
        NotPython: the text does not parse.
    """
    found: dict[str, list[str]] = {}
    for node in ast.walk(_tree(text)):
        if isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            for name in [alias.name for alias in node.names if alias.name in _functions(release)]:
                found.setdefault(module, []).append(name)
    return found


def _tree(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Python thinks of an escape is not asked here
        try:
            return ast.parse(text)
        except SyntaxError as error:
            raise NotPython(f"line {error.lineno}: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise NotPython(str(error) or type(error).__name__) from None


def _dump(node: ast.AST) -> str:
    try:
        return ast.dump(node)
    except RecursionError:
        raise NotPython("nested too deeply") from None


@functools.lru_cache(maxsize=64)
def _parts(
    text: str, words: bool, renames: tuple[tuple[str, str], ...] = ()
) -> dict[str, list[str]]:
    """The statements of a text as strings, by the name of their part, in the text's order.

    With `words` the docstrings are in them, without their indentation.
    """
    tree = _without_positions(text, words, dict(renames))
    parts: dict[str, list[str]] = {_DOCSTRING: []}
    if words and ast.get_docstring(tree) is not None:
        parts[_DOCSTRING].append(_dump(tree.body.pop(0)))
    for node in tree.body:
        parts.setdefault(_part(node), []).append(_dump(node))
    return parts


@functools.lru_cache(maxsize=64)
def _order(text: str, renames: tuple[tuple[str, str], ...] = ()) -> list[str]:
    """The part of each statement in turn."""
    return [_part(node) for node in _without_positions(text, False, dict(renames)).body]


def _part(node: ast.stmt) -> str:
    """The name of the part to which a top-level statement belongs."""
    if isinstance(node, _Named):
        return node.name
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return "the imports"
    try:
        if isinstance(node, ast.Assign):
            return ", ".join(ast.unparse(target) for target in node.targets)
        if isinstance(node, ast.AnnAssign):
            return ast.unparse(node.target)
    except RecursionError:
        raise NotPython("nested too deeply") from None
    return "other statements"


def _without_positions(text: str, words: bool, renames: dict[str, str]) -> ast.Module:
    """The tree of a text: its docstrings tidied or taken out, its functions under other names."""
    tree = _tree(text)
    for node in ast.walk(tree):
        for attribute in ("name", "id", "value"):  # where defined, used, or listed in __all__
            held = getattr(node, attribute, None)
            if isinstance(held, str) and held in renames:
                setattr(node, attribute, renames[held])
        if isinstance(node, (ast.Module, *_Named)):
            docstring = ast.get_docstring(node)
            if docstring is not None:
                tidy = "\n".join(line.rstrip() for line in docstring.splitlines())
                node.body[:1] = [ast.Expr(ast.Constant(tidy))] if words else []
    return tree


@functools.lru_cache(maxsize=64)
def _functions(text: str) -> frozenset[str]:
    return frozenset(node.name for node in _tree(text).body if isinstance(node, _Named))


def _renames(release: str, text: str) -> dict[str, str]:
    """Functions that are in one text only and are equal but for such names: old name, new name."""
    old, new = _functions(release), _functions(text)
    renames: dict[str, str] = {}
    if not (old - new and new - old):
        return renames
    twins = _bodies(text, new - old)
    for body, names in _bodies(release, old - new).items():
        renames.update(zip(names, twins.get(body, []), strict=False))
    return renames


@functools.lru_cache(maxsize=64)
def _bodies(text: str, names: frozenset[str]) -> dict[str, list[str]]:
    """The names of those functions by their code, in which each such name is the same word."""
    named = [node.name for node in _tree(text).body if isinstance(node, _Named)]
    masked = _without_positions(text, False, dict.fromkeys(names, "_"))
    functions = [node for node in masked.body if isinstance(node, _Named)]
    bodies: dict[str, list[str]] = {}
    for name, node in zip(named, functions, strict=True):
        if name in names:
            bodies.setdefault(_dump(node), []).append(name)
    return bodies


def _comments(text: str) -> list[str]:
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return [token.string.rstrip() for token in tokens if token.type == tokenize.COMMENT]
