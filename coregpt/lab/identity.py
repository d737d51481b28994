"""What makes two runs the same run: settings, seeds, data, and the code that can change a number."""

import ast
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import coregpt
from coregpt.contract.config import RunConfig
from coregpt.contract.errors import PluginError
from coregpt.lab.registry import Catalogue

ID_LENGTH = 12


def canonical(data: Any) -> bytes:
    """The one JSON text of plain data: sorted keys, no spaces, shortest exact floats."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


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
    """Digest of each plugin's own file. Raises PluginError for a file that is not Python."""
    digests = {}
    for name in names:
        path = catalogue.source(name)
        try:
            digests[name] = source_digest(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError, OSError) as error:
            raise PluginError(f"plugin '{name}' ({path}) cannot be read: {error}") from error
    return digests


def run_id(config: RunConfig, plugins: dict[str, str], data_digest: str) -> str:
    """First 12 hex digits of the digest of all that can change this run's numbers.

    `config` must hold every plugin option; `plugins` are the digests of its plugins' sources.
    """
    whole = {
        "config": config.model_dump(mode="json"),
        "engine": engine_digest(),
        "plugins": plugins,
        "data": data_digest,
    }
    return hashlib.sha256(canonical(whole)).hexdigest()[:ID_LENGTH]


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
