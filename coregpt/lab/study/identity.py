"""What makes two runs the same run: settings, seeds, data, and the code that can change a number."""

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import coregpt
from coregpt.contract.config import InputSource, RunConfig
from coregpt.contract.errors import PluginError
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.part import WHOLE, RunPart
from coregpt.lab.study.registry import FILE, Catalogue

ID_LENGTH = 12
WATCHING = frozenset({"evals", "held_out_curve"})
"""Settings of a run that say when it is evaluated. Neither its weights nor its final losses depend on them: a law."""
READ_OR_ROUNDED = frozenset({"eval_tokens", "eval_bytes", "micro_rows", "compile"})
"""Settings that name another run, and yet train the same one but for rounding, or read it on more or fewer tokens."""
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Where statements lie inside of others."""
IMPORTS = "imports"
"""Folder, beside the frozen plugin files of a run, of the sources that plugins import."""


def canonical(data: Any) -> bytes:
    """The one JSON text of plain data: sorted keys, no spaces, shortest exact floats."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def settled(data: Any) -> Any:
    """Plain data with 0.0 for -0.0, which differ as texts only."""
    if isinstance(data, dict):
        return {key: settled(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [settled(value) for value in data]
    return data + 0.0 if isinstance(data, float) else data


@cache
def source_digest(text: str) -> str:
    """sha256 of what Python code does: comments, formatting and docstrings do not count."""
    tree = ast.parse(text)
    todo: list[Any] = [tree]
    while todo:  # statements alone: going through their expressions too would take as long as all the rest
        node = todo.pop()
        todo += [inner for block in BLOCKS for inner in getattr(node, block, ())]
        if hasattr(node, "body"):
            node.body = [line for line in node.body if not _is_text(line)] or [ast.Pass()]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


@cache
def engine_digest() -> str:
    """Digest of contract and engine: any edit there may change a number."""
    root = Path(coregpt.__file__).parent
    files = [root / "api.py", *sorted((root / "contract").rglob("*.py")), *sorted((root / "engine").rglob("*.py"))]
    return _digest([file.relative_to(root).as_posix() + source_digest(file.read_text("utf-8")) for file in files])


def parse_ahead() -> None:
    """Parse contract and engine once for all forks of this process: each reads the files anew, and has to parse only
    what was edited since."""
    engine_digest.__wrapped__()


def engine_of(config: RunConfig) -> str:
    """Of what executes a run: our engine, or what another kind says stands for it."""
    kind = foreign(config)
    return engine_digest() if kind is None else kind.engine()


def plugin_digests(catalogue: Catalogue, names: Iterable[str]) -> dict[str, str]:
    """Digest of each plugin's file, of the sources that it imports, and of the versions of what it imports installed.

    Raises PluginError for a file that is not Python, and for imports that cannot be followed.
    """
    digests = {}
    for name in names:
        path = catalogue.source(name)
        try:
            digests[name] = source_digest(path.read_text("utf-8"))
            parts = plugin_parts(catalogue, name).values()
        except (SyntaxError, UnicodeDecodeError, OSError) as error:
            raise PluginError(f"plugin '{name}' ({path}) cannot be read: {error}") from error
        except PluginError as error:
            raise PluginError(f"plugin '{name}': {error}") from None
        if parts:
            digests[name] = _digest([digests[name], *parts])
    return digests


def plugin_parts(catalogue: Catalogue, name: str) -> dict[str, str]:
    """What a plugin's digest is made of beside its own file: digests by module, `name version` by distribution."""
    found = catalogue.imports(name)
    sources = {module: source_digest(file.read_text("utf-8")) for module, file in found.files.items()}
    return sources | {f"{name} (installed)": f"{name} {version}" for name, version in found.installed.items()}


def frozen_files(catalogue: Catalogue, names: Iterable[str]) -> dict[str, Path]:
    """Files that a run keeps a copy of, by their place in its folder of plugins, without `.py`.

    Plugins that lie in no package, and every source that one of the plugins imports, in `imports/` as packages.
    """
    files: dict[str, Path] = {}
    for name in names:
        found = catalogue.locate(name)
        if found.package == FILE:
            files[found.name] = found.path
        for module, path in catalogue.imports(name).files.items():
            if module.partition(".")[0] not in catalogue.packages:
                inside = module.split(".")
                files["/".join([IMPORTS, *(inside if path.name != "__init__.py" else [*inside, "__init__"])])] = path
    return files


def counted(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a run that can change its numbers: neither where its data lie, nor where a file it is given does, nor
    how often it is looked at.

    Data have a digest of their own, and a file counts by its content.
    """
    data = _without_places(config.get("data", {}))
    given = config.get("inputs") or {}
    inputs = {name: InputSource.model_validate(source).identity() for name, source in given.items()}
    rest = {key: value for key, value in config.items() if key not in {"data", "inputs", *WATCHING}}
    plain: dict[str, Any] = settled({**rest, "data": data, **({"inputs": inputs} if inputs else {})})
    return plain


def _without_places(data: Mapping[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in data.items() if key != "source"}
    if mixture := data.get("mixture"):
        own["mixture"] = {name: {"weight": each["weight"]} for name, each in mixture.items()}
    return own


def run_id(config: RunConfig, plugins: Mapping[str, str], data_digest: str, part: RunPart = WHOLE) -> str:
    """First 12 hex digits of the digest of all that can change this run's numbers.

    `config` must hold every plugin option; `plugins` are the digests of its plugins' sources.
    """
    whole = {
        "config": counted(config.model_dump(mode="json")),
        "engine": engine_of(config),
        "plugins": dict(plugins),
        "data": data_digest,
        **part.record(),
    }
    return hashlib.sha256(canonical(whole)).hexdigest()[:ID_LENGTH]


def _is_text(line: ast.stmt) -> bool:
    return isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant) and isinstance(line.value.value, str)


def _digest(parts: list[str]) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
