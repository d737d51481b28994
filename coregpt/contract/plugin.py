"""The base class of every technique, and the manager that binds techniques to hooks."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pluggy

from coregpt.contract.config import Frozen
from coregpt.contract.errors import PluginError
from coregpt.contract.prescription import Prescription, refuse_unknown
from coregpt.contract.record import CORE, Record

PROJECT = "coregpt"
PREFIXES = ("make_", "add_")

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
        for name in dir(cls):
            if name.startswith(PREFIXES):
                _check_marked(cls, name)


def _check_marked(cls: type[Plugin], name: str) -> None:
    options = getattr(getattr(cls, name), f"{PROJECT}_impl", None)
    if options is None:
        raise PluginError(f"{cls.__name__}.{name}: hooks must be marked with @hookimpl")
    if options["tryfirst"] or options["trylast"]:
        raise PluginError(f"{cls.__name__}.{name}: tryfirst/trylast are not allowed; order comes from `after`")


class HookManager(pluggy.PluginManager):
    """A pluggy manager for one run. Plugins register innermost first."""

    def __init__(self, specs: type):
        super().__init__(PROJECT)
        self.add_hookspecs(specs)
        self.record = Record()

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        """Look at the class only: a plugin's options are data and can never be hooks."""
        method = getattr(type(plugin), name, None) if name.startswith(PREFIXES) else None
        return getattr(method, f"{PROJECT}_impl", None) if callable(method) else None

    def add(self, plugin: object, name: str) -> None:
        """Register, and turn pluggy's complaints (unknown hook, wrong argument) into a PluginError."""
        try:
            self.register(plugin, name)
            self.check_pending()
        except pluggy.PluginValidationError as error:
            message = str(error).replace("\n", " ").strip()
            raise PluginError(f"plugin '{name}': {message}") from error
        for caller in (self.get_hookcallers(plugin) or ()) if name != CORE else ():
            for impl in caller.get_hookimpls():
                if impl.plugin is plugin and not impl.hookwrapper:
                    watched = self.record.watched(caller.name, name, impl.function, impl.wrapper)
                    impl.function = watched  # type: ignore[misc]

    def named(self, hook: str, arguments: dict[str, Any]) -> list[tuple[str, Any]]:
        """(plugin, answer) of every plugin that answers `hook`, first registered first."""
        found = []
        for impl in getattr(self.hook, hook).get_hookimpls():
            if impl.wrapper or impl.hookwrapper:
                raise PluginError(f"plugin '{impl.plugin_name}': {hook} cannot be wrapped, its answers have owners")
            answer = impl.function(*(arguments[key] for key in impl.argnames))
            if answer is not None:
                found.append((impl.plugin_name, answer))
        return found


Hook = Callable[..., Any]
