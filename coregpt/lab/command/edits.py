"""Changes that a clone gets before it runs, in every arm alike: a text found exactly once, and what takes its place."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coregpt.contract.errors import ConfigError
from coregpt.lab.command.file import filled


def edit(clone: Path, edits: Mapping[str, Mapping[str, str]], values: Mapping[str, Any] | None) -> None:
    """Make them; placeholders stay where `values` is None. Raises ConfigError for what is not found exactly once."""
    for name, changes in edits.items():
        file = (clone / name).resolve()
        if not file.is_relative_to(clone.resolve()) or not file.is_file():
            raise ConfigError(f"edit: there is no file {name} in the repository at this version")
        try:
            text = file.read_bytes().decode()
        except UnicodeDecodeError:
            raise ConfigError(f"edit: {name} is no text in UTF-8") from None
        for old, new in changes.items():
            times = text.count(old)
            if times != 1:
                how = "is not found" if not times else f"is found {times} times"
                raise ConfigError(f"edit: {old!r} {how} in {name}; an edit must find its text exactly once")
            text = text.replace(old, new if values is None else filled(new, dict(values)))
        mode = file.stat().st_mode
        file.write_bytes(text.encode())
        os.chmod(file, mode)
