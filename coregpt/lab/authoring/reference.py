"""docs/api.md: everything a technique may import, every hook and every fixture, from the source's own words.

Only the source is read and nothing imported, so the page shows annotations as they are written.
"""

import ast
import importlib.util
import inspect
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

API = "coregpt.api"
HOOKS = "coregpt.contract.hookspecs"
TESTING = "coregpt.testing"
Definition = ast.ClassDef | ast.FunctionDef | ast.Assign | ast.AnnAssign

HEAD = """\
# What a technique may import

Made by `coregpt plugins api > docs/api.md` from the source; do not edit. A technique imports from `coregpt.api` and,
besides other packages, from nothing else of CoreGPT. How one is written: [CONTRIBUTING](../CONTRIBUTING.md).
"""


@dataclass(frozen=True)
class Entry:
    """One name of the api and where it is defined."""

    name: str
    module: str
    node: Definition
    text: str
    """What its docstring says; for a value, the string below it."""


def page() -> str:
    """The whole page as Markdown."""
    entries = sorted(exported(), key=lambda entry: (entry.name.lower(), entry.name))
    hooks = next(node for node in body_of(HOOKS) if isinstance(node, ast.ClassDef) and node.name == "Hooks")
    questions = [node for node in hooks.body if isinstance(node, ast.FunctionDef)]
    lines = [HEAD, f"Names: {links([entry.name for entry in entries])}.", ""]
    lines += [f"Hooks: {links([node.name for node in questions])}.", ""]
    for entry in entries:
        lines += [f"## {entry.name}", "", *told(entry), ""]
    lines += ["# Hooks", "", module_text(HOOKS), ""]
    for node in questions:
        lines += [f"## {node.name}", "", *code(f"@hookimpl\n{signature(node)}"), "", doc(node), ""]
    lines += ["# Fixtures of its test", "", module_text(TESTING), ""]
    for each in body_of(TESTING):
        if isinstance(each, ast.FunctionDef) and any("fixture" in ast.unparse(mark) for mark in each.decorator_list):
            lines += [f"## {each.name}", "", doc(each), ""]
    return "\n".join(lines).rstrip() + "\n"


def exported() -> Iterator[Entry]:
    """Every name in `coregpt.api.__all__`, followed to its definition."""
    origin: dict[str, tuple[str, str]] = {}
    for node in body_of(API):
        if isinstance(node, ast.ImportFrom) and node.module:
            origin |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    for name in names_of_all(body_of(API)):
        yield defined(name, *origin[name])


def overload(node: ast.ClassDef | ast.FunctionDef) -> bool:
    """One of several signatures; the definition that follows them has the words."""
    return any(ast.unparse(mark) == "overload" for mark in node.decorator_list)


def names_of_all(body: list[ast.stmt]) -> list[str]:
    for node in body:
        if isinstance(node, ast.Assign) and any(getattr(target, "id", "") == "__all__" for target in node.targets):
            return [str(each) for each in ast.literal_eval(node.value)]
    return []


def defined(shown: str, module: str, name: str) -> Entry:
    """The definition of `name` in `module`, or where that module has it from."""
    body = body_of(module)
    for i, node in enumerate(body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name and not overload(node):
            return Entry(shown, module, node, doc(node))
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in assigned(node):
            return Entry(shown, module, node, string_at(body, i + 1))
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return defined(shown, node.module, alias.name)
    raise LookupError(f"{module} does not define {name}")


def told(entry: Entry) -> Iterator[str]:
    """Signature, what it is, its fields and methods."""
    node = entry.node
    if isinstance(node, ast.FunctionDef):
        yield from (*code(signature(node)), "", first_paragraph(entry.text))
    elif isinstance(node, ast.ClassDef):
        bases = f"({', '.join(map(ast.unparse, node.bases))})" if node.bases else ""
        init = next((each for each in node.body if getattr(each, "name", "") == "__init__"), None)
        made = [f"    {signature(init)}"] if isinstance(init, ast.FunctionDef) else []
        yield from (*code("\n".join([f"class {node.name}{bases}", *made])), "", first_paragraph(entry.text))
        if members := [*fields(node), *methods(node)]:
            yield from ("", *members)
    else:
        yield from (*code(ast.unparse(node)), "", first_paragraph(entry.text))


def fields(node: ast.ClassDef) -> Iterator[str]:
    """Annotated names of a class, each with the string below it."""
    for i, each in enumerate(node.body):
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.target.id[0] != "_":
            given = f" = {ast.unparse(each.value)}" if each.value is not None and not calls_field(each.value) else ""
            yield item(f"{each.target.id}: {ast.unparse(each.annotation)}{given}", string_at(node.body, i + 1))


def methods(node: ast.ClassDef) -> Iterator[str]:
    for each in node.body:
        if isinstance(each, ast.FunctionDef) and (each.name[0] != "_" or each.name == "__call__"):
            marks = [ast.unparse(mark) for mark in each.decorator_list]
            if not {"property", "cached_property"}.isdisjoint(marks):
                returns = f": {ast.unparse(each.returns)}" if each.returns else ""
                yield item(f"{each.name}{returns}", doc(each))
            elif not any("validator" in mark for mark in marks):
                yield item(signature(each).removeprefix("def "), doc(each))


def item(name: str, text: str) -> str:
    said = first_paragraph(text)
    return f"- `{name}`" + (f": {said}" if said else "")


def calls_field(value: ast.expr) -> bool:
    """`field(default_factory=...)` says nothing to a reader."""
    return isinstance(value, ast.Call) and getattr(value.func, "id", "") == "field"


def signature(node: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"def {node.name}({ast.unparse(node.args)}){returns}"


def first_paragraph(text: str) -> str:
    return " ".join(text.partition("\n\n")[0].split())


def doc(node: ast.ClassDef | ast.FunctionDef) -> str:
    return ast.get_docstring(node) or ""


def string_at(body: list[ast.stmt], i: int) -> str:
    """The string that stands alone at this place, as under a field."""
    node = body[i] if i < len(body) else None
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return ""


def assigned(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def code(text: str) -> list[str]:
    return ["```python", text, "```"]


def links(names: list[str]) -> str:
    """To the headings of these names, in their order; GitHub numbers those that differ in capitals only."""
    seen: Counter[str] = Counter()
    made = []
    for name in names:
        again = seen[name.lower()]
        made.append(f"[`{name}`](#{name.lower()}{f'-{again}' if again else ''})")
        seen[name.lower()] += 1
    return ", ".join(made)


def module_text(module: str) -> str:
    return ast.get_docstring(ast.parse(source_of(module))) or ""


def body_of(module: str) -> list[ast.stmt]:
    return ast.parse(source_of(module)).body


def source_of(module: str) -> str:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise LookupError(f"there is no module {module}")
    return Path(spec.origin).read_text("utf-8")
