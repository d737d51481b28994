"""`coregpt plugins`: the catalogue of techniques, from the techniques' own text."""

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from coregpt.cli.programs import answer
from coregpt.cli.screen import say
from coregpt.contract.errors import ConfigError, CoreGPTError
from coregpt.lab.laws.laws import SLOW, Law, LawCase, check_case, fast_laws, title
from coregpt.lab.laws.pairs import check_pairs
from coregpt.lab.study.code import beyond
from coregpt.lab.study.code.checkouts import elsewhere, where_searched
from coregpt.lab.study.registry import Catalogue, Found
from coregpt.lab.study.yamlfile import Loader
from coregpt.report.catalogue.collect import card, hooks, kind
from coregpt.report.drawing.numbers import listing


@dataclass(frozen=True)
class Check:
    """What is to be checked of each technique."""

    options: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    """Other techniques enabled with it."""
    pairs: bool = False
    fast: bool = False
    every: bool = False
    """Every technique there is."""
    results: Path | None = None
    """File that keeps what is found of pairs, and from which a later call goes on."""
    part: tuple[int, int] = (1, 1)
    """Of all pairs, or of every technique, the i-th of n parts."""


def list_all() -> int:
    """Every technique with the first line of its card, under the question its folder answers."""
    catalogue = Catalogue()
    groups: dict[str, list[Found]] = {}
    for name in catalogue.names():
        found = catalogue.found[name][0]
        groups.setdefault(found.folder.replace(".", "/") or found.package, []).append(found)
    width = max(map(len, catalogue.names()), default=0)
    for group, members in sorted(groups.items()):
        say(": ".join(filter(None, [group, folder_line(members[0])])))
        for found in members:
            idea = _first_line(catalogue, found.name)
            say(f"  {found.name.ljust(width)}  {idea}")
            answer("technique", {"name": found.name, "folder": group, "idea": idea, "file": str(found.path)})
        say()
    for package, reason in catalogue.broken.items():
        answer("broken", {"package": package, "reason": reason})
        say(f"{package}  (broken: {reason})")
    say(where_searched())
    if elsewhere():
        say(f"note: {elsewhere()}")
    return 0


def folder_line(found: Found) -> str:
    """First line of the docstring of the folder a technique lies in, read without importing it."""
    try:
        text = ast.get_docstring(ast.parse((found.path.parent / "__init__.py").read_text("utf-8")))
    except (OSError, SyntaxError, ValueError):
        return ""
    return (text or "").partition("\n")[0]


def _first_line(catalogue: Catalogue, name: str) -> str:
    try:
        return card(catalogue.cls(name)).splitlines()[0]
    except (CoreGPTError, IndexError) as error:
        return f"(broken: {error})"


def show(name: str) -> int:
    """A technique's card, options and hooks. `name` may be a file outside any package, as for `check`."""
    files, name = named(name)
    catalogue = Catalogue(files)
    plugin, found = catalogue.cls(name), catalogue.locate(name)
    say(card(plugin))
    say()
    say("Options" if plugin.model_fields else "No options")
    schema = plugin.model_json_schema().get("properties", {})
    for option, field in plugin.model_fields.items():
        say(f"  {option}: {kind(schema[option])} = {field.get_default(call_default_factory=True)!r}")
        say(f"      {' '.join((field.description or '').split())}")
    if found.folder:
        say(f"Folder  {found.folder.replace('.', '/')}: {folder_line(found)}")
    say(f"File  {found.path}")
    say(f"Hooks  {', '.join(hooks(plugin))}")
    for word, names in (("Requires", plugin.requires), ("After", plugin.after), ("Conflicts", plugin.conflicts)):
        if names:
            say(f"{word}  {', '.join(names)}")
    told = {path: {"value": value, "source": source} for path, (value, source) in plugin.prescribes.items()}
    for path, (value, source) in plugin.prescribes.items():
        say(f"Prescribes  {path} {'not enabled' if value is None else f'= {value!r}'} ({source})")
    relations = {"requires": [*plugin.requires], "after": [*plugin.after], "conflicts": [*plugin.conflicts]}
    facts = {
        "folder": found.folder.replace(".", "/"),
        "file": str(found.path),
        "hooks": hooks(plugin),
        **relations,
        "prescribes": told,
    }
    answer("technique", {"name": found.name, "card": card(plugin), "options": schema, **facts})
    return 0


def check(arguments: Sequence[str], asked: Check) -> int:
    """Test the laws every plugin must keep, of one technique after the other; exit code 1 if one is broken."""
    files, names = all_named(arguments)
    with_files, beside = all_named(asked.beside)
    catalogue = Catalogue(dict.fromkeys([*files, *with_files]))
    if asked.options and len(names) != 1:
        raise ConfigError(f"--options are of one technique; name one instead of {len(names)}")
    given = settings(asked.options)
    if given and asked.results is not None:
        raise ConfigError("--results keeps what was found with default options; leave it out beside --options")
    if asked.pairs:
        own = dict.fromkeys(names, given)
        return 0 if check_pairs(catalogue, names, own, say, asked.results, asked.part) else 1
    if asked.results is not None or (asked.part != (1, 1) and not asked.every):
        raise ConfigError("--results is of --pairs, --part of --pairs and --all")
    if asked.every:
        if names:
            raise ConfigError("--all is every technique; leave out the names")
        every, (one, many) = catalogue.names(), asked.part
        names = every[one - 1 :: many]
        if not names:
            raise ConfigError(f"there are {len(every)} techniques, and --part {one}/{many} has none of them")
    if not names:
        raise ConfigError("name a technique to check; without a name there are only --all and --pairs")
    broken = []
    for name in names:
        if len(names) > 1 or asked.every:
            say(f"{name}")
        for line in beyond.told(catalogue, [name]):
            say(f"note  {line}")
        case = LawCase(catalogue, name, given, {other: {} for other in beside if other != name})
        if not laws_hold(case, fast_laws() if asked.fast else None):
            broken.append(name)
    if asked.fast:
        say(f"Left out: {', '.join(map(title, SLOW))} (longer than the rest); check without --fast tests that.")
    if len(names) > 1:
        say(f"{len(names)} techniques: {f'laws broken by {listing(broken)}' if broken else 'every law holds'}")
    return 1 if broken else 0


def laws_hold(case: LawCase, laws: Sequence[Law] | None) -> bool:
    """Test laws of one technique, a line for each; programs hear them at the end."""
    lines: list[str] = []

    def tell(line: str) -> None:
        say(line)
        lines.append(line)

    holds = check_case(case, tell, laws)
    told = [(line[:4].strip(), *line[6:].partition(": ")[::2]) for line in lines if line[4:6] == "  "]
    found = [{"outcome": outcome, "law": law, "said": said} for outcome, law, said in told]
    answer("laws", {"technique": case.name, "hold": holds, "laws": found})
    return holds


def settings(texts: Sequence[str]) -> dict[str, Any]:
    """Options from `{width: 3}` and `width=3`, values read as YAML."""
    found: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        try:
            read = {key.strip(): yaml.load(value, Loader)} if equals and key.isidentifier() else yaml.load(text, Loader)
        except yaml.YAMLError as error:
            raise ConfigError(f"--options {text!r}: {' '.join(str(error).split())}") from error
        if not isinstance(read, dict):
            raise ConfigError(f"--options {text!r}: expected KEY=VALUE or {{KEY: VALUE, ...}}")
        found |= read
    return found


def all_named(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """As `named`, for several."""
    found = [named(argument) for argument in arguments]
    return [path for files, _ in found for path in files], list(dict.fromkeys(name for _, name in found))


def named(argument: str) -> tuple[list[Path], str]:
    """`my_plugin.py` is the technique `my_plugin` in that file; anything else is a name."""
    path = Path(argument)
    if path.suffix != ".py":
        return [], argument
    if not path.is_file():
        raise ConfigError(f"there is no file {path}")
    return [path.resolve()], path.stem
