"""Technique names to plugin instances: discovery, options, order, conflicts.

Any package named in the entry-point group `coregpt.plugins` offers techniques: one module per technique, in folders
or not, one Plugin class per module, the module's name is the technique's name. Modules are imported only when named.
"""

import difflib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from coregpt.contract.config import InputSource
from coregpt.contract.errors import ConfigError, CoreGPTError, PluginError, in_one_line
from coregpt.contract.plugin import Plugin
from coregpt.lab.study.code.blame import place_of
from coregpt.lab.study.code.checkouts import GROUP, elsewhere, where_searched
from coregpt.lab.study.code.closure import Closure, closure, says_only
from coregpt.lab.study.code.origin import CORE
from coregpt.lab.study.code.serving import FILE_MODULE, remember, serve, sources_loaded
from coregpt.lab.study.code.shipped import as_listed

if TYPE_CHECKING:
    from coregpt.engine.inputs import Stored

SHIPPED = "coregpt_plugins"
"""The package of the folder `plugins` of this repository."""
FILE = "file"
"""Stands for the package of a technique that lies in none."""


@dataclass(frozen=True)
class Found:
    """Where a technique lives, before anything of it is imported."""

    name: str
    package: str
    """Package that offers it, or FILE."""
    path: Path
    """The file it is defined in."""
    folder: str = ""
    """Where in the package, as `mlp` or `mlp.experts`. It is no part of the technique's name."""

    @property
    def inside(self) -> str:
        """The package or subpackage its module lies in."""
        return f"{self.package}.{self.folder}" if self.folder else self.package

    @property
    def root(self) -> Path:
        """The folder of its package."""
        return self.path.parents[self.folder.count(".") + 1 if self.folder else 0]

    @property
    def around(self) -> list[Path]:
        """What is executed before its module: the packages that it lies in."""
        if self.package == FILE:
            return []
        depth = self.path.parents.index(self.root)
        return [init for folder in self.path.parents[: depth + 1] if (init := folder / "__init__.py").is_file()]

    @property
    def module(self) -> str:
        return f"{self.inside}.{self.name}"


class Catalogue:
    """Every technique that can be named here."""

    def __init__(self, files: Iterable[Path] = (), frozen: Path | None = None, stores: Iterable[Path] = ()):
        """`files` are single plugin files that live in no package; `stores` are folders of runs, for inputs.

        What files import is looked for in `frozen` first, or if that is None also beside them.
        """
        self.found: dict[str, list[Found]] = {}
        self.broken: dict[str, str] = {}
        """Packages whose entry point leads nowhere, and why; whoever names none of theirs is not disturbed."""
        files = list(files)
        self.stores = tuple(stores)
        self.opened: dict[InputSource, Stored] = {}
        """Inputs of runs that were looked for already (see `lab.study.inputs`)."""
        self.files = {path.stem: path for path in files}
        self.frozen = frozen
        entries = sorted(importlib.metadata.entry_points(group=GROUP), key=lambda e: e.name)
        packages = {entry.value for entry in entries}
        self.packages = {CORE, *(package.partition(".")[0] for package in packages)}
        """Top-level packages whose sources are taken from where they are installed."""
        if files or (frozen is not None and frozen.is_dir()):
            serve(files, frozen, self.packages)
        for entry in entries:
            try:
                modules = _modules(entry.value)
            except PluginError as error:
                self.broken[entry.value] = str(error)
                continue
            for found in modules:
                self._offer(found, packages)
        for path in files:
            self._offer(Found(path.stem, FILE, path))
        self._classes: dict[str, type[Plugin]] = {}
        self._loaded: dict[str, dict[str, Path]] = {}
        """By plugin file: sources that were loaded with it."""

    def _offer(self, found: Found, packages: Iterable[str] = ()) -> None:
        """A folder that is itself among `packages` offers its techniques on its own."""
        if any(f"{found.inside}.".startswith(f"{name}.") for name in packages if len(name) > len(found.package)):
            return
        offers = self.found.setdefault(found.name, [])
        if found not in offers:
            offers.append(found)

    def names(self) -> list[str]:
        return sorted(self.found)

    def locate(self, name: str) -> Found:
        """The one technique called `name`; `package:name` picks among several of that name."""
        package, _, short = name.rpartition(":")
        offers = [f for f in self.found.get(short, []) if not package or f.package == package]
        if not offers:
            unread = "".join(f"; {reason}" for reason in self.broken.values())
            here = "; ".join(filter(None, [where_searched(), elsewhere()]))
            raise ConfigError(f"unknown plugin '{name}'{nearest(short, self.names())}{unread} ({here})")
        packages = list(dict.fromkeys(offer.package for offer in offers))
        if len(packages) > 1:
            choices = " or ".join(f"'{package}:{short}'" for package in packages)
            raise PluginError(f"plugin '{name}' is offered by several packages; write {choices}")
        if len(offers) > 1:
            files = " and ".join(str(offer.path) for offer in offers)
            raise PluginError(f"plugin '{name}' is two files: {files}; rename one of them")
        return offers[0]

    def canonical(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """An arm's settings with every plugin under its full name: `softcap` and `package:softcap` are one."""
        plugins = {self.locate(name): options for name, options in settings["plugins"].items()}
        named = {f"{found.package}:{found.name}": options for found, options in plugins.items()}
        return {**settings, "plugins": named}

    def cls(self, name: str) -> type[Plugin]:
        """The Plugin class of a technique. A broken plugin breaks only those who name it."""
        if name not in self._classes:
            found = self.locate(name)
            try:
                module = self._import(found)
            except CoreGPTError as error:
                where = place_of(error, found.path) or found.path
                raise PluginError(f"plugin '{name}' ({where}): {error}") from error
            except (Exception, SystemExit) as error:  # a module that exits must not end the command as if all were well
                where = place_of(error, found.path) or found.path
                raise PluginError(f"plugin '{name}' ({where}) cannot be imported: {in_one_line(error)}") from error
            own = [
                value
                for value in vars(module).values()
                if isinstance(value, type) and issubclass(value, Plugin) and value.__module__ == module.__name__
            ]
            if len(own) != 1:
                names = [cls.__name__ for cls in own]
                there = " and ".join(names) or "none"
                raise PluginError(f"plugin '{name}' ({found.path}): expected one class of Plugin in it, found {there}")
            self._classes[name] = own[0]
        return self._classes[name]

    def _import(self, found: Found) -> Any:
        if found.package != FILE:
            return importlib.import_module(found.module)
        path = self.files[found.name]
        before, path_before = set(sys.modules), list(sys.path)
        spec = importlib.util.spec_from_file_location(f"{FILE_MODULE}{found.name}", path)
        if spec is None or spec.loader is None:
            raise PluginError(f"{path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # pydantic reads option docstrings through it
        spec.loader.exec_module(module)
        self._loaded[found.name] = sources_loaded(before, self.packages)
        remember(self._loaded[found.name], path_before)
        return module

    def imports(self, name: str) -> Closure:
        """What a technique imports. Raises PluginError for what cannot be followed."""
        found = self.locate(name)
        file = found.package == FILE
        beside = found.path.parent if file and self.frozen is None else None
        made = closure(found.path, "" if file else found.inside, self.packages, beside)
        for module, path in sorted(self._loaded.get(found.name, {}).items() if file else ()):
            if module not in made.files:
                text = "which it does not import by name, so that an edit there would go unseen; import it by its name"
                raise PluginError(f"{found.path}: executes {module} ({path}), {text}")
        made = self._with_packages(found, made)
        remember(module for module in made.files if module.partition(".")[0] not in self.packages)
        return made

    def _with_packages(self, found: Found, made: Closure) -> Closure:
        """Also the packages that it lies in, and all that they import, where they do more than say what they are."""
        files, installed = dict(made.files), dict(made.installed)
        for init in found.around:
            inside = ".".join([found.package, *init.parent.relative_to(found.root).parts])
            if says_only(init):
                continue
            more = closure(init, inside, self.packages)
            files |= {inside: init, **more.files}
            installed |= more.installed
        return Closure(dict(sorted(files.items())), dict(sorted(installed.items())))

    def shipped(self, name: str) -> bool:
        """Whether a technique and all that it imports is as it came with CoreGPT, whose tests put it before every law.

        Raises PluginError for imports that cannot be followed.
        """
        found = self.locate(name)
        if found.package != SHIPPED:
            return False
        return as_listed(found.root, [found.path, *found.around, *self.imports(name).files.values()])

    def source(self, name: str) -> Path:
        """The file a technique is defined in."""
        return self.locate(name).path

    def instance(self, name: str, options: Mapping[str, Any]) -> Plugin:
        """One plugin with its options, also as plain data. Raises ValidationError for what the options are not."""
        cls = self.cls(name)
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("error", "A custom validator is returning")  # pydantic would let that pass
                made = cls(**options)
                made.model_dump(mode="json")
        except (ValidationError, CoreGPTError):
            raise
        except (Exception, SystemExit) as error:  # its validators are the plugin's code
            where = place_of(error) or f"{self.source(name)}:{inspect.getsourcelines(cls)[1]}"
            raise PluginError(f"plugin '{name}' ({where}): its options cannot be read: {in_one_line(error)}") from error
        return made

    def instances(self, options: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Plugin]]:
        """Validated plugins, innermost first. All option errors are collected before failing."""
        errors: list[str] = []
        made: dict[str, Plugin] = {}
        for name, given in options.items():
            try:
                made[name] = self.instance(name, given or {})
            except ValidationError as error:
                errors += option_errors(f"plugins.{name}", self.cls(name), error, given or {}, self.source(name))
            except ConfigError as error:
                errors.append(f"plugins: {error}")
        if errors:
            raise ConfigError("\n".join(errors))
        _refuse_conflicts(made)
        return [(name, made[name]) for name in order(made)]


def order(made: Mapping[str, Plugin | type[Plugin]]) -> list[str]:
    """Names sorted so that each comes after everything in its `after`; ties by name, never by YAML."""
    waiting = {name: {other for other in made if plain(other) in plugin.after} for name, plugin in made.items()}
    done: list[str] = []
    while waiting:
        ready = sorted(name for name, before in waiting.items() if before <= set(done))
        if not ready:
            raise PluginError(f"plugins go after each other in a circle: {sorted(waiting)}")
        done.append(ready[0])
        del waiting[ready[0]]
    return done


def option_errors(
    where: str, model: type[Any], error: ValidationError, given: Mapping[str, Any], source: Path
) -> list[str]:
    """One readable line per wrong option: key, what is wrong, the nearest valid name; whose default it is, if one's."""
    lines = []
    for item in error.errors():
        key = ".".join([where, *map(str, item["loc"])])
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            message = f"no such option{nearest(str(item['loc'][-1]), model.model_fields)}"
        elif item["type"] != "missing":
            message += f", got {item['input']!r}" if not isinstance(item["input"], dict) else ""
            message += f" (its default, {source})" if item["loc"] and item["loc"][0] not in given else ""
        lines.append(f"{key}: {message}")
    return lines


def nearest(name: str, names: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or the list of valid names when nothing is close."""
    names = sorted(names)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; there are: {', '.join(names)}" if names else ""


def plain(name: str) -> str:
    """A technique's name without the package that `package:name` may pick; relations between plugins use it."""
    return name.rpartition(":")[2]


def _refuse_conflicts(made: Mapping[str, Plugin]) -> None:
    names = {plain(name) for name in made}
    for name, plugin in made.items():
        for other in made:
            if other != name and plain(other) in plugin.conflicts:
                raise PluginError(f"plugins '{name}' and '{other}' conflict; enable only one of them")
        for needed in plugin.requires:
            if needed not in names:
                raise PluginError(f"plugin '{name}' needs '{needed}'; enable it too")


def _modules(package: str) -> list[Found]:
    """Every module of a package and its folders; what starts with an underscore is not offered."""
    try:
        spec = importlib.util.find_spec(package)  # imports what surrounds a subpackage
    except (Exception, SystemExit) as error:
        raise PluginError(f"entry point group {GROUP}: package '{package}' cannot be imported: {error!r}") from error
    if spec is None or spec.submodule_search_locations is None:
        raise PluginError(f"entry point group {GROUP}: package '{package}' cannot be found")
    found = []
    for root in map(Path, spec.submodule_search_locations):
        for path in sorted(root.rglob("*.py")):
            *folders, name = path.relative_to(root).with_suffix("").parts
            if all(part.isidentifier() and part[0] != "_" for part in (*folders, name)):
                found.append(Found(name, package, path, ".".join(folders)))
    return found
