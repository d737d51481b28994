"""What makes two runs the same run: settings, seeds, data, and the code that can change a number."""

import ast
import hashlib
import importlib.util
import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import coregpt
from coregpt.contract.config import RunConfig
from coregpt.contract.errors import PluginError
from coregpt.lab.study.part import WHOLE, RunPart
from coregpt.lab.study.registry import Catalogue

ID_LENGTH = 12


def canonical(data: Any) -> bytes:
    """The one JSON text of plain data: sorted keys, no spaces, shortest exact floats."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


@cache
def source_digest(text: str) -> str:
    """sha256 of what Python code does: comments, formatting and docstrings do not count."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)] or [ast.Pass()]  # type: ignore[attr-defined]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def engine_digest() -> str:
    """Digest of contract and engine: any edit there may change a number."""
    root = Path(coregpt.__file__).parent
    files = [root / "api.py", *sorted((root / "contract").rglob("*.py")), *sorted((root / "engine").rglob("*.py"))]
    return _digest([file.relative_to(root).as_posix() + source_digest(file.read_text("utf-8")) for file in files])


def plugin_digests(catalogue: Catalogue, names: Iterable[str]) -> dict[str, str]:
    """Digest of each plugin's file and of what it imports from its own package.

    Raises PluginError for a file that is not Python.
    """
    digests = {}
    for name in names:
        found = catalogue.locate(name)
        path = found.path
        try:
            digests[name] = source_digest(path.read_text("utf-8"))
            helpers = [] if found.package == "file" else own_imports(path, found.inside)
            if helpers:
                digests[name] = _digest([digests[name], *(source_digest(file.read_text("utf-8")) for file in helpers)])
        except (SyntaxError, UnicodeDecodeError, OSError) as error:
            raise PluginError(f"plugin '{name}' ({path}) cannot be read: {error}") from error
    return digests


def own_imports(path: Path, package: str) -> list[Path]:
    """Files of its own top-level package that a module in `package` imports, directly or through each other."""
    top = package.partition(".")[0]
    found: dict[Path, str] = {}
    waiting = [(path, package)]
    while waiting:
        file, inside = waiting.pop()
        for name in sorted(_imported(ast.parse(file.read_text("utf-8")), inside)):
            spec = _find(name) if name.partition(".")[0] == top else None
            if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
                continue
            origin = Path(spec.origin)
            if origin != path and origin not in found:
                found[origin] = name
                waiting.append((origin, name if spec.submodule_search_locations else name.rpartition(".")[0]))
    return sorted(found, key=found.__getitem__)


def _imported(tree: ast.AST, package: str) -> set[str]:
    """Full names of all modules that may be imported by a module lying in `package`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            outer = parents[: len(parents) + 1 - node.level] if node.level else []
            base = ".".join([*outer, *([node.module] if node.module else [])])
            names |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return names


def _find(name: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(name)
    except (ImportError, ValueError):  # `from module import function`: the function is no module
        return None


def hashed(config: RunConfig) -> dict[str, Any]:
    """All settings as they are hashed: a file that a run is given counts by its content."""
    inputs = {name: source.identity() for name, source in config.inputs.items()}
    return {**config.model_dump(mode="json", exclude={"inputs"}), **({"inputs": inputs} if inputs else {})}


def run_id(config: RunConfig, plugins: Mapping[str, str], data_digest: str, part: RunPart = WHOLE) -> str:
    """First 12 hex digits of the digest of all that can change this run's numbers.

    `config` must hold every plugin option; `plugins` are the digests of its plugins' sources.
    """
    whole = {
        "config": hashed(config),
        "engine": engine_digest(),
        "plugins": dict(plugins),
        "data": data_digest,
        **part.record(),
    }
    return hashlib.sha256(canonical(whole)).hexdigest()[:ID_LENGTH]


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
