"""The base class of every technique, and the manager that binds techniques to hooks."""

import difflib
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import pluggy

from coregpt.contract.config import Frozen
from coregpt.contract.errors import PluginError
from coregpt.contract.prescription import Prescription, refuse_unknown
from coregpt.contract.record import CORE, Record

PROJECT = "coregpt"
PREFIXES = ("make_", "add_")
MARK = f"{PROJECT}_impl"
"""The attribute that `hookimpl` gives a method."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a method that answers a hook; `@hookimpl(wrapper=True)` one that goes around what others answered."""


class Plugin(Frozen):
    """A frozen options model whose methods marked `@hookimpl` answer questions while a model is built.

    Fields are the options; the string under a field is its documentation. The module's docstring is the
    technique's card and must contain a line that starts with `Source:`.
    """

    after: ClassVar[tuple[str, ...]] = ()
    """Names of plugins this one goes outside of (wrappers) or behind (lists), if they are enabled."""
    conflicts: ClassVar[tuple[str, ...]] = ()
    """Names of plugins that make no sense beside this one although they share no slot."""
    requires: ClassVar[tuple[str, ...]] = ()
    """Names of plugins without which this one has nothing to work on."""
    neutral: ClassVar[dict[str, Any] | None] = None
    """Options with which the technique does nothing; the laws check that this is true to the bit."""
    prescribes: ClassVar[Mapping[str, Prescription]] = {}
    """Settings that the technique's source fixes beside it, by dotted path: `{"optim.weight_decay": Prescription(0.0,
    "arXiv:2410.01131, section 2.6")}`. An arm that has them so is the technique as published, and no confound."""
    rounding_sensitive: ClassVar[str] = ""
    """Why the last bit of a gradient may turn a step (an eigenbasis whose eigenvalues meet). Ranks are then compared
    with what one rounding does, which the laws measure and bound."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        refuse_unknown(cls.__name__, cls.prescribes)
        for field in cls.model_fields:
            if field.startswith(PREFIXES):
                raise PluginError(f"{cls.__name__}.{field}: an option may not start with make_ or add_")
        for word in ("after", "conflicts", "requires"):
            names = getattr(cls, word)
            if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
                raise PluginError(
                    f"{cls.__name__}.{word}: expected names of plugins, as in ('other_technique',), got {names!r}"
                )
        if not isinstance(cls.neutral, dict | None):
            raise PluginError(f"{cls.__name__}.neutral: expected options and values, got {cls.neutral!r}")
        for name, method in inspect.getmembers_static(cls):
            if name.startswith(PREFIXES) or hasattr(method, MARK):
                _check_marked(cls, name)


def _check_marked(cls: type[Plugin], name: str) -> None:
    method = getattr(cls, name)
    options, here = getattr(method, MARK, None), f"{cls.__name__}.{name}{place_of(method)}"
    if options is None:
        raise PluginError(f"{here}: hooks must be marked with @hookimpl")
    if not name.startswith(PREFIXES):
        raise PluginError(f"{here}: there is no such hook; names of hooks begin with {' or '.join(PREFIXES)}")
    if options["tryfirst"] or options["trylast"]:
        raise PluginError(f"{here}: tryfirst/trylast are not allowed; order comes from `after`")


def place_of(method: Any) -> str:
    """` (file:line)` of a function; nothing for anything else."""
    code = getattr(inspect.unwrap(method) if callable(method) else method, "__code__", None)
    return f" ({code.co_filename}:{code.co_firstlineno})" if code else ""


class HookManager(pluggy.PluginManager):
    """A pluggy manager for one run. Plugins register innermost first."""

    def __init__(self, specs: type):
        super().__init__(PROJECT)
        self.add_hookspecs(specs)
        self.record = Record()

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        """Look at the class only: a plugin's options are data and can never be hooks."""
        method = getattr(type(plugin), name, None) if name.startswith(PREFIXES) else None
        return getattr(method, MARK, None) if callable(method) else None

    def add(self, plugin: object, name: str) -> None:
        """Register. Raises PluginError for an unknown hook or a wrong argument."""
        for hook, method in marked(type(plugin)):
            if problem := self._misfit(hook, getattr(plugin, hook)):
                raise PluginError(f"plugin '{name}'{place_of(method)}: {problem}")
        try:
            self.register(plugin, name)
            self.check_pending()
        except pluggy.PluginValidationError as error:  # all that pluggy minds beside those
            where = str(inspect.getsourcefile(type(plugin)))
            raise PluginError(f"plugin '{name}' ({where}): {' '.join(str(error).split())}") from error
        for caller in (self.get_hookcallers(plugin) or ()) if name != CORE else ():
            for impl in caller.get_hookimpls():
                if impl.plugin is plugin and not impl.hookwrapper:
                    watched = self.record.watched(caller.name, name, impl.function, impl.wrapper)
                    impl.function = watched  # type: ignore[misc]

    def _misfit(self, hook: str, method: Any) -> str:
        """What is wrong with the name or the arguments of an implementation; empty if nothing is."""
        hooks = [name for name in vars(self.hook) if name.startswith(PREFIXES)]
        if hook not in hooks:
            return f"there is no hook '{hook}'{_nearest(hook, hooks)}"
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
            return f"{hook} is `async`, and hooks are asked while a model is built; write a plain method"
        there = self.hook.__dict__[hook].spec.argnames
        wanted = pluggy._hooks.varnames(method)[0]
        wrong = [argument for argument in wanted if argument not in there]
        if wrong:
            return f"{hook} has no argument {' and '.join(map(repr, wrong))}; it has: {', '.join(there)}"
        if getattr(method, MARK)["wrapper"] and not inspect.isgeneratorfunction(method):
            return f"{hook} is marked as a wrapper, which goes around `part = yield`, and has no yield"
        if not getattr(method, MARK)["wrapper"] and inspect.isgeneratorfunction(method):
            return f"{hook} has a yield; mark it with @hookimpl(wrapper=True), or return the answer"
        return ""

    def named(self, hook: str, arguments: dict[str, Any]) -> list[tuple[str, Any]]:
        """(plugin, answer) of every plugin that answers `hook`, first registered first."""
        found = []
        for impl in getattr(self.hook, hook).get_hookimpls():
            if impl.wrapper or impl.hookwrapper:
                where = place_of(getattr(type(impl.plugin), hook))
                raise PluginError(
                    f"plugin '{impl.plugin_name}'{where}: {hook} cannot be wrapped, its answers have owners"
                )
            answer = impl.function(*(arguments[key] for key in impl.argnames))
            if answer is not None:
                found.append((impl.plugin_name, answer))
        return found


def marked(cls: type) -> list[tuple[str, Any]]:
    """What a class has that is marked as a hook, without asking for it: `inspect` takes ten times as long."""
    members = {name: each for base in reversed(cls.__mro__) for name, each in vars(base).items()}
    return sorted((name, each) for name, each in members.items() if hasattr(each, MARK))


def _nearest(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; there are: {', '.join(sorted(names))}"


Hook = Callable[..., Any]
