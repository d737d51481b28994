"""What a Python text imports, read without executing it; an import whose name only execution could tell is refused."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from coregpt.contract.errors import PluginError
from coregpt.lab.study.code.reads import refuse_reads

BY_NAME = ("import_module", "__import__")
"""Functions that import the module they are given the name of."""
BY_FILE = ("spec_from_file_location", "SourceFileLoader", "run_path", "run_module", "resolve_name")
"""Functions that execute what nobody can tell from the call."""
BUILTIN = ("exec", "compile")
"""As functions of Python itself; a method may be called so."""


@dataclass(frozen=True)
class Use:
    """One module that a text may import."""

    name: str
    """In full: relative names are resolved."""
    line: int
    needed: bool
    """False where the text goes on without it, and for a name that may be a function of the module before it."""


@cache
def uses(text: str, package: str) -> tuple[Use, ...]:
    """All modules that a module lying in `package` may import, also inside functions.

    Raises SyntaxError for what is not Python, and PluginError with the line for an import that cannot be read, and for
    a file that is.
    """
    tree = ast.parse(text)
    if any(name in text for name in (*BY_NAME, *BY_FILE)):
        _refuse_handed_on(tree)
    refuse_reads(tree)
    called = _renamed(tree) if any(name in text for name in (*BY_NAME, *BY_FILE)) else {}
    return tuple(use for node, needed in _walk(tree, True) for use in _imported(node, package, needed, called))


def _walk(node: ast.AST, needed: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Every node, and whether an import there must succeed; what only a type checker executes is left out."""
    yield node, needed
    inner: list[tuple[ast.AST, bool]]
    tried: list[tuple[ast.AST, bool]]
    if isinstance(node, ast.If) and _for_types_only(node.test):
        inner = [(child, needed) for child in node.orelse]
    elif isinstance(node, ast.Try | ast.TryStar) and node.handlers:
        tried = [(child, False) for child in (*node.body, *node.handlers)]
        inner = [*tried, *((child, needed) for child in (*node.orelse, *node.finalbody))]
    else:
        inner = [(child, needed) for child in ast.iter_child_nodes(node)]
    for child, must in inner:
        yield from _walk(child, must)


def _for_types_only(test: ast.expr) -> bool:
    return _last_name(test) == "TYPE_CHECKING"


def _imported(node: ast.AST, package: str, needed: bool, called: dict[str, str]) -> Iterator[Use]:
    if isinstance(node, ast.Import):
        yield from (Use(alias.name, node.lineno, needed) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        base = _absolute("." * node.level + (node.module or ""), package)
        yield Use(base, node.lineno, needed)
        yield from (Use(f"{base}.{alias.name}", node.lineno, False) for alias in node.names if alias.name != "*")
    elif isinstance(node, ast.Call):
        function = _last_name(node.func)
        function = called.get(function, function)
        if function in BY_NAME:
            yield Use(_literal(node, package), node.lineno, needed)
        elif function in BY_FILE or (function in BUILTIN and _of_python(node.func)):
            raise PluginError(
                f"{node.lineno}: {function}() executes code that cannot be followed; import it by its name"
            )


def _refuse_handed_on(tree: ast.AST) -> None:
    """A function that imports may only be called where it stands: nobody follows `load = importlib.import_module`."""
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.expr) or id(node) in called:
            continue
        name = node.value if isinstance(node, ast.Constant) else _last_name(node)
        if name in (*BY_NAME, *BY_FILE):
            what = f"{name} is handed on, so nobody can tell what it imports"
            raise PluginError(f"{node.lineno}: {what}; call it by its name")


def _of_python(function: ast.expr) -> bool:
    """`exec` and `builtins.exec`."""
    plain = isinstance(function, ast.Attribute) and _last_name(function.value) == "builtins"
    return isinstance(function, ast.Name) or plain


def _literal(call: ast.Call, package: str) -> str:
    """The name that a call is given as text. Raises PluginError if it is computed."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    given |= dict(zip(("name", "package"), call.args, strict=False)) if _last_name(call.func) != "__import__" else {}
    name = given.get("name", call.args[0] if call.args else None)
    inside = given.get("package")
    if isinstance(inside, ast.Constant) and isinstance(inside.value, str):
        package = inside.value
    elif inside is not None and _last_name(inside) not in ("__package__", "__name__"):
        name = None
    if isinstance(name, ast.Constant) and isinstance(name.value, str):
        return _absolute(name.value, package)
    raise PluginError(
        f"{call.lineno}: {_last_name(call.func)}() is given a name that is computed, so nobody can tell which code "
        'runs; write the name out, as in import_module("helper")'
    )


def _absolute(name: str, package: str) -> str:
    """`..x` inside of `a.b` is `a.x`."""
    module = name.lstrip(".")
    level = len(name) - len(module)
    if not level:
        return module
    parents = package.split(".")
    return ".".join([*parents[: len(parents) + 1 - level], *([module] if module else [])])


def _renamed(tree: ast.AST) -> dict[str, str]:
    """Functions imported under other names: `from importlib import import_module as load`."""
    aliases = (alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names)
    return {alias.asname: alias.name for alias in aliases if alias.asname and alias.name in (*BY_NAME, *BY_FILE)}


def _last_name(node: ast.expr) -> str:
    """`load` of `load`, `a.load` and `a.b.load`; "" for anything else."""
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
