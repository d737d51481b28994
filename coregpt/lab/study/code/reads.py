"""Files that a Python text reads, as far as that can be seen without executing it: none of them is in an identity.

What a technique needs beside its code is an input of the run (`inputs:`), which is hashed; a file that it opens by
itself could change and leave old numbers standing as current.
"""

import ast
from collections.abc import Iterator

from coregpt.contract.errors import PluginError

FUNCTIONS = {
    *("open", "io.open", "os.open", "codecs.open", "gzip.open", "bz2.open", "lzma.open", "tarfile.open", "mmap.mmap"),
    *("zipfile.ZipFile", "sqlite3.connect", "pkgutil.get_data", "ctypes.CDLL", "urllib.request.urlopen"),
    *(f"numpy.{name}" for name in ("load", "loadtxt", "genfromtxt", "fromfile", "memmap", "lib.format.open_memmap")),
    *(f"torch.{name}" for name in ("load", "from_file", "jit.load", "hub.load", "hub.load_state_dict_from_url")),
    *("torch.utils.cpp_extension.load", "torch.ops.load_library"),
    *("safetensors.safe_open", "safetensors.torch.load_file"),
    *(f"pandas.read_{kind}" for kind in ("csv", "json", "parquet", "pickle", "table", "feather")),
}
METHODS = ("read_text", "read_bytes")
"""Of a Path, or of whatever has them."""
BY_ANY_NAME = ("importlib", "builtins", "io", "os")
"""Modules of which nobody may take a function by a name that only execution could tell."""


def refuse_reads(tree: ast.AST) -> None:
    """Raises PluginError with the line for a file that is read, or that a function which could read is handed on to."""
    names = _imported(tree)
    bound = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    writing, called = {id(node.func) for node in calls if _writes(node)}, {id(node.func) for node in calls}
    for node, name in _named(tree, names, bound):
        if name in FUNCTIONS and id(node) not in writing:
            raise PluginError(f"{node.lineno}: {name}() reads {WHY}")
        opens = isinstance(node, ast.Attribute) and node.attr == "open" and not _of_self(node) and id(node) in called
        if isinstance(node, ast.Attribute) and (node.attr in METHODS or opens) and id(node) not in writing:
            raise PluginError(f"{node.lineno}: {node.attr}() reads {WHY}")


WHY = (
    "a file that is in no run's identity, so that a change of it would go unseen; name it under inputs: in the study "
    "and ask at.input(NAME) or run.inputs[NAME] for its tensors, or write the numbers into the module"
)


def _named(tree: ast.AST, names: dict[str, str], bound: set[str]) -> Iterator[tuple[ast.expr, str]]:
    """Every name and attribute with its full name as far as imports tell, and what `getattr` takes from modules."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node, "" if isinstance(node, ast.Name) and node.id in bound else _full(node, names)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            if len(node.args) < 2:
                continue
            module, taken = _full(node.args[0], names), node.args[1]
            if isinstance(taken, ast.Constant) and isinstance(taken.value, str):
                yield node, f"{module}.{taken.value}".removeprefix("builtins.")
            elif module in BY_ANY_NAME:
                raise PluginError(
                    f"{node.lineno}: getattr() takes a function of {module} by a name that is computed, so nobody can "
                    "tell what it imports or reads; write the name out"
                )


def _full(node: ast.expr, names: dict[str, str]) -> str:
    """`numpy.load` of `np.load`; "" for what is no plain dotted name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute) and (inner := _full(node.value, names)):
        return f"{inner}.{node.attr}".removeprefix("builtins.")
    return ""


def _imported(tree: ast.AST) -> dict[str, str]:
    """Full names by the names that they have here."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return found


def _of_self(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id == "self"


def _writes(call: ast.Call) -> bool:
    """Whether a file is opened to be written only."""
    given = [*call.args[:2], *(each.value for each in call.keywords if each.arg == "mode")]
    modes = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
    return any(set(mode) <= set("wabxt") and bool(set(mode) & set("wax")) for mode in modes)
