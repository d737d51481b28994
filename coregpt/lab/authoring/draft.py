"""A technique to begin with: its file, its test and a small study, written where they belong."""

import difflib
import importlib.util
import keyword
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import write_text
from coregpt.lab.authoring.homes import HOMES, QUESTIONS
from coregpt.lab.authoring.small_study import study_text
from coregpt.lab.study.code.checkouts import Checkout
from coregpt.lab.study.registry import Catalogue

HERE = Path(__file__).parent
TAKEN_BY_TESTS = ("shape", "config")
"""What the fixture `build` means by these words is no technique."""


@dataclass(frozen=True)
class Written:
    """The three files of a draft, and those that make their folders packages."""

    plugin: Path
    test: Path
    study: Path
    also: tuple[Path, ...] = ()

    @property
    def three(self) -> tuple[Path, ...]:
        return self.plugin, self.test, self.study


def write(name: str, hook: str, folder: Path, catalogue: Catalogue) -> Written:
    """Writes the draft for `hook` under the name `name`, into the checkout around `folder` or into `folder` itself.

    Raises ConfigError for a name that cannot be one, a hook that is none, and files that are there already; then
    nothing is written.
    """
    hook = known(hook)
    refuse_name(name, catalogue)
    checkout = Checkout.around(folder)
    places = in_checkout(name, hook, checkout) if checkout else alone(name, folder)
    if there := [path for path in places.three if path.exists()]:
        raise ConfigError(f"{there[0]} is there already; nothing was written")
    if checkout is None:
        refuse_module(name)
    named = not (checkout and checkout.searched)
    files = [Path(os.path.relpath(places.plugin, places.study.parent))] if named else []
    texts = {
        places.plugin: renamed(HERE / "drafts" / f"{hook}.py", name),
        places.test: renamed(HERE / "draft_tests" / f"{hook}.py", name),
        places.study: study_text(name, {}, files),
    }
    empty = dict.fromkeys(places.also, "")
    question = {places.plugin.parent / "__init__.py": f'"""{QUESTIONS[HOMES[hook]]}"""\n'}
    also = {path: text for path, text in (empty | question if checkout else empty).items() if not path.exists()}
    for path, text in (texts | also).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, text)
    return replace(places, also=tuple(also))


def known(hook: str) -> str:
    """Raises ConfigError with the nearest name."""
    if hook in HOMES:
        return hook
    close = difflib.get_close_matches(hook, HOMES, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"there are: {', '.join(HOMES)}"
    raise ConfigError(f"--hook: there is no hook '{hook}'; {hint}")


def refuse_name(name: str, catalogue: Catalogue) -> None:
    if not name.isidentifier() or keyword.iskeyword(name) or name != name.lower() or name.startswith("_"):
        raise ConfigError(f"a technique's name is a Python name in small letters such as head_gain, got '{name}'")
    if name in catalogue.found:
        raise ConfigError(f"there is a technique '{name}' already: {catalogue.found[name][0].path}")
    if name in TAKEN_BY_TESTS:
        raise ConfigError(f"'{name}' is a word of the fixture `build`; take another name")


def refuse_module(name: str) -> None:
    """A file beside the test lies where Python looks for modules first."""
    if importlib.util.find_spec(name) is not None:
        raise ConfigError(f"'{name}' is the name of a Python module, which a file of that name would hide")


def in_checkout(name: str, hook: str, checkout: Checkout) -> Written:
    """The test and the technique lie in folders of one name, each a package."""
    folder = HOMES[hook]
    tests = checkout.root / "tests" / "plugins" / folder
    return Written(
        checkout.techniques / folder / f"{name}.py",
        tests / f"test_{name}.py",
        checkout.root / "ablations" / "drafts" / f"{name}.yaml",
        (tests / "__init__.py",),
    )


def alone(name: str, folder: Path) -> Written:
    """The three files beside each other."""
    return Written(folder / f"{name}.py", folder / f"test_{name}.py", folder / f"{name}.yaml")


def renamed(path: Path, name: str) -> str:
    """A draft's text under another name: `draft` is the technique, `Draft` its class."""
    text = re.sub(r"\bDraft\b", class_name(name), path.read_text("utf-8"))
    return re.sub(r"\bdraft\b", name, text)


def class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))
