"""When two texts say the same: spellings that can change no number are put into one form before they are hashed."""

import hashlib
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from coregpt.lab.study.identity import canonical, settled


def source_name(source: str) -> str:
    """What a data source is called wherever it lies: `ok` for `./ok`, `ok/` and `/data/ok`.

    What is in it has a digest of its own, which belongs to every run.
    """
    from coregpt.engine.data import NAMES  # torch comes along, which pages of a report do without

    return source if source in NAMES else PurePath(source).name or source


def meant(declaration: Mapping[str, Any]) -> dict[str, Any]:
    """A declaration in one form: folders of data by their names, and 0.0 for -0.0."""
    arms = {name: _by_name(settings) for name, settings in declaration.get("arms", {}).items()}
    plain: dict[str, Any] = settled({**declaration, "arms": arms})
    return plain


def digest_of(declaration: Mapping[str, Any]) -> str:
    """sha256 of what a study declares."""
    return hashlib.sha256(canonical(meant(declaration))).hexdigest()


def digests_of(declaration: Mapping[str, Any]) -> set[str]:
    """The digest, and the one that earlier versions gave, in which every spelling counted."""
    return {digest_of(declaration), hashlib.sha256(canonical(dict(declaration))).hexdigest()}


def _by_name(settings: Mapping[str, Any]) -> dict[str, Any]:
    data = settings.get("data", {})
    if "source" not in data:
        return {**settings}
    named = {**data, "source": source_name(data["source"])}
    if mixture := data.get("mixture"):
        named["mixture"] = {
            name: {**each, "source": source_name(each["source"])} if "source" in each else each
            for name, each in mixture.items()
        }
    return {**settings, "data": named}
