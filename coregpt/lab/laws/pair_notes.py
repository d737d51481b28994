"""What was found of pairs of techniques, a line each in a file, so that a check of all of them may stop and go on."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from coregpt.contract.errors import ConfigError
from coregpt.lab.study.identity import engine_digest, plugin_digests
from coregpt.lab.study.registry import Catalogue

TRAINS, CLASHES, FAILS = "trains", "clashes", "fails"


class PairNotes:
    """Of the pairs in `path`; of none without one. A line counts while core and both techniques are what they were.

    Pairs that failed are tried again. Several processes may write to files of their own.
    """

    def __init__(self, catalogue: Catalogue, names: Iterable[str], path: Path | None):
        self.path, self.known = path, dict[str, tuple[str, str]]()
        if path is None:
            return
        self.core, self.requires = engine_digest(), {name: catalogue.cls(name).requires for name in names}
        everybody = {*self.requires, *(other for needed in self.requires.values() for other in needed)}
        self.digests = plugin_digests(catalogue, sorted(everybody))
        try:
            text = path.read_text("utf-8") if path.exists() else ""
            with path.open("a", encoding="utf-8") as file:
                file.write("\n" if text and not text.endswith("\n") else "")  # where a line was cut off
        except OSError as error:
            raise ConfigError(f"{path}: what is found of pairs cannot be kept there ({error.strerror})") from error
        for line in text.splitlines():
            self._read(line)

    def _read(self, line: str) -> None:
        try:
            told = json.loads(line)
            pair, of, how, said = (str(told[key]) for key in ("pair", "of", "how", "said"))
        except (ValueError, KeyError, TypeError):
            return  # a line that was cut off: its pair is tried again
        one, _, other = pair.partition(" + ")
        if how in (TRAINS, CLASHES) and {one, other} <= self.requires.keys() and of == self.digest(one, other):
            self.known[pair] = how, said
        else:
            self.known.pop(pair, None)

    def digest(self, one: str, other: str) -> str:
        """Of everything that decides what becomes of two techniques."""
        names = sorted({one, other, *self.requires[one], *self.requires[other]})
        text = "\n".join([self.core, *(f"{name} {self.digests[name]}" for name in names)])
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def found(self, one: str, other: str) -> tuple[str, str] | None:
        """`trains` or `clashes`, and with what message; None for a pair that nothing valid is known of."""
        return self.known.get(key(one, other))

    def add(self, one: str, other: str, how: str, said: str) -> None:
        """Append a line, at once."""
        if self.path is None:
            return
        told = {"pair": key(one, other), "of": self.digest(one, other), "how": how, "said": said}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")


def key(one: str, other: str) -> str:
    return " + ".join(sorted((one, other)))
