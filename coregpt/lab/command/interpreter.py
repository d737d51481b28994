"""The Python that a command runs in, with its packages: two environments are two experiments."""

import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from coregpt.contract.errors import ConfigError
from coregpt.lab.launched import of_a_launcher

ASKED = "import json, sys; print(json.dumps([sys.version.split()[0], sys.path[1:]]))"
SECONDS = 60.0
BUILT_IN = ("cd", "exec", "export", "set", "if", "for", "while", "test", "[", ".", "source", "eval", "ulimit", "{", "(")
"""First words that a shell knows without a file."""
RUNS_SCRIPTS = re.compile(r"(python|pypy)[\d.]*|torchrun|(ba|da|z)?sh")
SCRIPTS = (".py", ".sh")
NOT_THEIRS = ("PYTHONSAFEPATH",)
"""What keeps our own processes from importing what lies beside a script, which scripts live by."""


@dataclass(frozen=True)
class Interpreter:
    """As it was found here."""

    path: str
    version: str
    places: tuple[str, ...]
    """Where it looks for packages."""

    def packages(self) -> dict[str, str]:
        """Installed distributions by name, as they are now."""
        found: dict[str, str] = {}
        for place in self.places:
            for entry in _entries(place):
                match = re.fullmatch(r"(.+?)-([^-]+?)(?:-py[\d.]+)?\.(?:dist|egg)-info", entry)
                if match:
                    found.setdefault(re.sub(r"[-_.]+", "-", match[1]).lower(), match[2])
        return dict(sorted(found.items()))


def digest_of(packages: Mapping[str, str]) -> str:
    """Of names and versions."""
    return hashlib.sha256(json.dumps(dict(packages), sort_keys=True).encode()).hexdigest()


def environment(declared: Mapping[str, str]) -> dict[str, str]:
    """What a program finds in its environment: ours, without what is ours alone, and what the study declares."""
    own = {name: value for name, value in os.environ.items() if name not in NOT_THEIRS and not of_a_launcher(name)}
    return {**own, **declared}


def first_word(command: str) -> str:
    """The program that a command calls, behind assignments. Raises ConfigError for one that cannot be read."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigError(f"cannot be read as a command: {error}") from None
    called = [word for word in words if not re.match(r"[A-Za-z_]\w*=", word)]
    if not called:
        raise ConfigError("calls no program")
    return called[0]


def found(command: str, clone: Path, variables: Mapping[str, str]) -> str:
    """Where the program of a command is, in its clone or on PATH; "" for a word of the shell. Raises ConfigError."""
    word = first_word(command)
    if word in BUILT_IN:
        return ""
    if "/" in word:
        place = Path(word) if os.path.isabs(word) else clone / word
        if not place.is_file():
            raise ConfigError(f"there is no program {word}{'' if os.path.isabs(word) else ' in the repository'}")
        if not os.access(place, os.X_OK):
            raise ConfigError(f"{word} may not be executed; call it with its interpreter, or chmod +x it")
        return str(place)
    there = shutil.which(word, path=variables.get("PATH"))
    if there is None:
        raise ConfigError(f"the command '{word}' is not found here")
    return there


def missing_script(command: str, clone: Path, beside: Collection[str]) -> str | None:
    """The file that an interpreter is to execute and that is neither in the clone nor among `beside`; None where there
    is no such file, or nobody can tell which it is.

    It is the first word behind the interpreter that ends as scripts do. Where a module (`-m`), code (`-c`), a
    placeholder or a shell's own words come first, nobody can tell.
    """
    try:
        words = shlex.split(command, comments=False)
    except ValueError:
        return None
    called = [word for word in words if not re.match(r"[A-Za-z_]\w*=", word)]
    if not called or not RUNS_SCRIPTS.fullmatch(Path(called[0]).name):
        return None
    for word in called[1:]:
        if word in ("-m", "-c", "--module") or re.search(r"[{}$`*?;|&<>()]", word):
            return None
        if word.endswith(SCRIPTS) and not word.startswith("-"):
            there = Path(word) if os.path.isabs(word) else clone / word
            known = there.is_file() or os.path.normpath(word) in beside
            return None if known else word
    return None


def interpreter(program: str, variables: Mapping[str, str]) -> Interpreter | None:
    """The Python of a program: itself, that beside it, or that on PATH; None where there is none."""
    beside = [program] if re.match(r"python[\d.]*$", Path(program).name) else []
    beside += [str(Path(program).with_name(name)) for name in ("python", "python3")] if program else []
    on_path = [shutil.which(name, path=variables.get("PATH")) for name in ("python", "python3")]
    for place in [*beside, *filter(None, on_path)]:
        if os.access(place, os.X_OK) and Path(place).is_file():
            return _asked(place, os.stat(place).st_mtime_ns, tuple(sorted(variables.items())))
    return None


@lru_cache(maxsize=32)
def _asked(place: str, changed: int, variables: Sequence[tuple[str, str]]) -> Interpreter | None:
    try:
        done = subprocess.run(
            [place, "-c", ASKED],
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=SECONDS,
            check=True,
        )
        version, places = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
    return Interpreter(place, version, tuple(place for place in places if place))


def _entries(place: str) -> list[str]:
    try:
        return sorted(os.listdir(place))
    except OSError:
        return []
