"""Merging settings: base, then scale, then arm. Remembers which line of the file each value came from."""

from dataclasses import dataclass, field
from typing import Any

from coregpt.lab.study.problems import Problem
from coregpt.lab.study.yamlfile import Key


@dataclass
class Merged:
    """The settings of one arm and where each of them stands in the study file."""

    data: dict[str, Any] = field(default_factory=dict)
    origins: dict[Key, Key] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    """Keys are places in the file."""

    def add(self, prefix: Key, settings: dict[str, Any], under: tuple[str, ...] = ()) -> None:
        """Lay `settings`, found at `prefix` of the file, over what is there. Mappings merge, null removes.

        `under` is the key of the arm that they belong to, where that is not its top.
        """
        target = self.data
        for i, name in enumerate(under):
            target = self._mapping(target, name, under[: i + 1])
        self._lay(target, settings, under, prefix)

    def origin(self, key: Key, default: Key) -> Key:
        """The place in the file that set `key`, or that set what surrounds it; `default` if nothing did."""
        for length in range(len(key), 0, -1):
            if key[:length] in self.origins:
                return (*self.origins[key[:length]], *key[length:])
        return (*default, *key)

    def _lay(self, target: dict[str, Any], source: dict[str, Any], key: Key, prefix: Key) -> None:
        for name, value in source.items():
            here, there = (*key, name), (*prefix, name)
            if value is None:
                self._remove(target, name, here, there)
                continue
            if isinstance(value, dict):
                inner = self._mapping(target, name, here)
                self.origins[here] = there
                self._lay(inner, value, here, there)
            else:
                self.origins[here] = there
                target[name] = value

    def _mapping(self, target: dict[str, Any], name: str, here: Key) -> dict[str, Any]:
        """What lies at a key, to be laid over. A section that is no mapping is a mistake, and not replaced unsaid."""
        inner = target.get(name)
        if not isinstance(inner, dict):
            if len(here) == 1 and name in target:
                self.problems.append((self.origin(here, ()), f"expected a mapping, got {inner!r}"))
            inner = target[name] = {}
        return inner

    def _remove(self, target: dict[str, Any], name: str, here: Key, place: Key) -> None:
        if name in target:
            del target[name]
            self.origins = {key: place for key, place in self.origins.items() if key[: len(here)] != here}
        else:
            hint = "; write {} for a plugin with its defaults" if here[0] == "plugins" and len(here) == 2 else ""
            self.problems.append((place, f"nothing to remove (an empty value or null removes a key){hint}"))
