"""Which mutants count: those that change what a program does, not how it words a message.

mutmut writes every variant of a function `f` beside the original, as `..f__mutmut_1` and `..f__mutmut_orig`. A variant
does not count when it and the original are the same but for

- the words of a message (a text with a blank in it, or a variable `message`; also None instead of it),
- the help of a command or its options, calls of `log`,
- the case of a header's name or an encoding's, which makes no difference,
- a type given to `cast`, the name of a thread.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_ORIGINAL = "__mutmut_orig"
_WORDS = "words"


@dataclass(frozen=True, slots=True)
class Mutant:
    """A variant of a function.

    Attributes:
        name: as mutmut calls it, e.g. `chassis.auth.callers.x_is_known__mutmut_3`.
        function: its module and function, e.g. `chassis.auth.callers.is_known`.
        becomes: the lines that the original does not have, as Python writes them.
        digest: the same as long as the function and its change are the same.
    """

    name: str
    function: str
    becomes: tuple[str, ...]
    digest: str

    @property
    def key(self) -> str:
        """Return a name that another change of the same number does not have."""
        return f"{self.name} {self.digest}"

    @property
    def reached_as(self) -> str:
        """Return how mutmut calls the function when it is run."""
        return self.name.rpartition("__mutmut_")[0]


def counted_mutants(folder: Path, package: str) -> list[Mutant]:
    """Return the mutants that count, of all modules below `folder/PACKAGE`."""
    mutants: list[Mutant] = []
    for path in sorted((folder / package).rglob("*.py")):
        module = ".".join(path.relative_to(folder).with_suffix("").parts)
        mutants += _counted_in(module, ast.parse(path.read_text(encoding="utf-8")))
    return mutants


def _counted_in(module: str, tree: ast.Module) -> Iterator[Mutant]:
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    originals = {
        name.removesuffix(_ORIGINAL): (_text(f), _meaning(f))
        for name, f in functions.items()
        if name.endswith(_ORIGINAL)
    }
    for name, function in functions.items():
        stem, mark, number = name.rpartition("__mutmut_")
        if not (mark and number.isdigit()):
            continue
        (before, meant), after = originals[stem], _text(function)
        if meant != _meaning(function):
            yield Mutant(
                f"{module}.{name}",
                f"{module}.{stem.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}",
                tuple(line.strip() for line in after.splitlines() if line not in before.splitlines()),
                sha256(f"{before}\n{after}".encode()).hexdigest()[:16],
            )


def _text(function: ast.FunctionDef) -> str:
    return "\n".join(ast.unparse(statement) for statement in function.body)


def _meaning(function: ast.FunctionDef) -> str:
    return "\n".join(ast.dump(_Meaning().visit(deepcopy(statement))) for statement in function.body)


class _Meaning(ast.NodeTransformer):
    def visit_Constant(self, node: ast.Constant) -> ast.AST:
        is_words = node.value is None or (isinstance(node.value, str) and " " in node.value)
        return ast.Name(_WORDS) if is_words else node

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(_WORDS) if node.id == "message" and isinstance(node.ctx, ast.Load) else node

    def visit_Compare(self, node: ast.Compare) -> ast.AST:
        match node:
            case ast.Compare(left=ast.Constant(value=str(name)), comparators=[ast.Attribute(attr="headers")]):
                node.left = ast.Constant(name.lower())
                return node
        return self.generic_visit(node)

    def visit_JoinedStr(self, node: ast.JoinedStr) -> ast.AST:
        texts = [part.value for part in node.values if isinstance(part, ast.Constant)]
        return ast.Name(_WORDS) if any(" " in str(text) for text in texts) else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST:
        match node.value:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"))):
                return ast.Pass()
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.keywords = [keyword for keyword in node.keywords if keyword.arg not in {"help", "description"}]
        match node:
            case ast.Call(func=ast.Name(id="cast"), args=[_, value]):
                node.args = [ast.Name(_WORDS), value]
            case ast.Call(
                func=ast.Attribute(value=ast.Attribute(attr="headers"), attr="get" | "getlist"),
                args=[ast.Constant(value=str(name)), *rest],
            ):
                node.args = [ast.Constant(name.lower()), *rest]
            case ast.Call(func=ast.Attribute(attr="encode" | "decode"), args=[ast.Constant(value=str(name)), *rest]):
                node.args = [ast.Constant(name.lower()), *rest]
            case ast.Call(func=ast.Attribute(value=ast.Name(id="threading"), attr="Thread" | "Timer")):
                node.keywords = [keyword for keyword in node.keywords if keyword.arg != "name"]
        return self.generic_visit(node)
