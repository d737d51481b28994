"""What runs were computed with: a second digest beside that of the declaration, which is the same on every machine."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from coregpt.report.facts.base import Facts, without_nothing

DECIDING = ("precision", "device", "compile", "python", "torch")
"""What the digest is of, with the data: numbers depend on nothing else but rounding, beside declaration and code."""
COMPARED = (*DECIDING, "processor", "numpy", "coregpt")
"""What is told where two executions of one declaration are compared."""


class EnvironmentFacts(Facts):
    """Versions, device, precision, compile mode; `warnings` name whatever differed between arms."""

    values: dict[str, str] = Field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    digest: str | None = None
    """Of what runs were computed with and on (`environment_digest`); None while none was, and of logs."""

    @model_serializer(mode="wrap")
    def _without_what_others_lack(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_nothing(handler(self), "digest")


def environment_digest(values: Mapping[str, str], data: str) -> str | None:
    """sha256 of precision and compile mode as resolved, kind of device, Python, torch and the digest of the data."""
    if not values:
        return None
    said = {**{name: values.get(name) for name in DECIDING}, "data": data}
    return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def apart(
    there: Mapping[str, str], here: Mapping[str, str], names: Iterable[str] = COMPARED
) -> dict[str, tuple[str, str]]:
    """By name what both know of their environments and is not the same: there, here."""
    both = [name for name in names if name in there and name in here]
    return {name: (there[name], here[name]) for name in both if there[name] != here[name]}


def code_apart(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """Of the digests of code and data that two reports have: `engine`, `data`, `plugin NAME` where they differ."""
    names = [name for name in ("engine", "data") if there[name] != here[name]]
    plugins = here["plugins"]
    return names + [f"plugin {name}" for name, digest in there["plugins"].items() if plugins.get(name) != digest]
