"""What a hook may be answered with, checked once, while a model is built: a wrong one would fail far from its plugin.

The messages name the hook, the plugin with file and line, and what was expected.
"""

import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from types import CodeType
from typing import Any, get_args

import pluggy
from torch import OutOfMemoryError, nn

from coregpt.contract.companion import Companion
from coregpt.contract.errors import CoreGPTError, PluginError, in_one_line
from coregpt.contract.record import CORE
from coregpt.contract.rules import ParamRule, Role, Stages

Impls = Sequence[pluggy.HookImpl]


def before(hook: str, impls: Impls, arguments: Mapping[str, Any]) -> None:
    """Nothing is checked before a hook is asked."""


def after(outcome: "pluggy.Result[Any]", hook: str, impls: Impls, arguments: Mapping[str, Any]) -> None:
    """For `add_hookcall_monitoring`: raises PluginError if plugins failed or answered with what cannot be used."""
    if (error := outcome.exception) is not None:
        refuse_failed(error, hook, impls)
        return
    refuse_wrong(hook, outcome.get_result(), impls, arguments)


def refuse_failed(error: BaseException, hook: str, impls: Impls) -> None:
    """Raises PluginError for an error of the plugins that were asked, with the deepest line of theirs.

    What core says of their line gets the line too. Errors in which they had no part are left to whoever asked core.
    """
    if isinstance(error, MemoryError | OutOfMemoryError) or not isinstance(error, Exception | SystemExit):
        return
    theirs = {code_of(impl, hook).co_filename: impl.plugin_name for impl in impls if impl.plugin_name != CORE}
    trace, place = error.__traceback__, ""
    while trace is not None:
        file = trace.tb_frame.f_code.co_filename
        place = f"plugin '{theirs[file]}' ({file}:{trace.tb_lineno})" if file in theirs else place
        trace = trace.tb_next
    if isinstance(error, CoreGPTError):
        if place and not error.placed:
            error.args = (f"{place}: {error}" if str(error).startswith(hook) else f"{place}: {hook}: {error}",)
        error.placed = True  # further out nobody's line is nearer
    elif place or theirs:
        where = f"{place}: {hook}" if place else f"{hook}, asked of {sources(hook, impls)}"
        raise PluginError(f"{where}: {in_one_line(error)}") from error


def refuse_wrong(hook: str, answer: Any, impls: Impls, arguments: Mapping[str, Any]) -> None:
    """Raises PluginError for an answer of the wrong type; of an `add_*` hook for any one of its answers."""
    wrong = EXPECTED.get(hook, _no_module if hook.startswith("make_") else _anything)
    answers = answer if hook.startswith("add_") and isinstance(answer, list) else [answer]
    for each in answers:
        if expected := wrong(each):
            place = getattr(arguments.get("at") or arguments.get("param"), "path", "")
            place = place or getattr(arguments.get("group"), "role", "")
            where = f"{hook} at '{place}'" if place else hook
            who = sources(hook, impls) or CORE
            lost = "; a wrapper must return what `yield` gave, or something in its place" if each is None else ""
            raise PluginError(f"{where}: expected {expected}, got {described(each)} from {who}{lost}")


def sources(hook: str, impls: Impls) -> str:
    """`plugin 'a' (file:line) or plugin 'b' (file:line)`: those that were asked, without core."""
    asked = [impl for impl in impls if impl.plugin_name != CORE]
    places = [(impl.plugin_name, code_of(impl, hook)) for impl in asked]
    return " or ".join(f"plugin '{name}' ({code.co_filename}:{code.co_firstlineno})" for name, code in places)


def code_of(impl: pluggy.HookImpl, hook: str) -> CodeType:
    """Of the method as its author wrote it: what pluggy calls may be wrapped."""
    code: CodeType = inspect.unwrap(getattr(type(impl.plugin), hook)).__code__
    return code


def described(answer: Any) -> str:
    """`a function`, `None`, `the class Gate`, `an object of type list`."""
    if answer is None:
        return "None"
    if isinstance(answer, type):
        return f"the class {answer.__name__} itself, which nobody called"
    return "a function" if type(answer).__name__ in ("function", "method") else f"an object of type {_name(answer)}"


def _name(answer: Any) -> str:
    return type(answer).__name__


# -- what is expected where it is missing; None where it is there ---------------------------------------------


def _anything(answer: Any) -> str | None:
    return None


def _no_module(answer: Any) -> str | None:
    return None if isinstance(answer, nn.Module) else "a torch module"


def _no_module_with(*names: str) -> Callable[[Any], str | None]:
    def wrong(answer: Any) -> str | None:
        if isinstance(answer, nn.Module) and all(hasattr(answer, name) for name in names):
            return None
        return f"a torch module with {' and '.join(f'`{name}`' for name in names)}"

    return wrong


def _no_rule(answer: Any) -> str | None:
    good = callable(getattr(answer, "init", None)) and callable(getattr(answer, "direction", None))
    good = good and hasattr(answer, "lr") and hasattr(answer, "weight_decay")
    if good and not isinstance(answer, type):
        return None
    return "an update rule: an object with `lr`, `weight_decay`, `init(p)` and `direction(p, g, state, dials)`"


def _no_decay(answer: Any) -> str | None:
    good = callable(getattr(answer, "amount", None)) and not isinstance(answer, type)
    return None if good else "a decay rule: an object with `amount`"


def _no_mask(answer: Any) -> str | None:
    good = callable(answer) and not isinstance(answer, type) and isinstance(answer, Hashable)
    return None if good else "a mask rule: a frozen dataclass with `__call__`, or a function"


def _no_losses(answer: Any) -> str | None:
    good = isinstance(answer, Mapping) and all(isinstance(part, nn.Module) for part in answer.values())
    good = good and all(isinstance(name, str) for name in answer)
    return None if good else "a dict of a name and a torch module for each loss"


def _no_schedules(answer: Any) -> str | None:
    good = isinstance(answer, Mapping) and all(isinstance(f, Stages) or callable(f) for f in answer.values())
    good = good and all(isinstance(name, str) for name in answer)
    return None if good else "a dict of a dial's name and a function of the clock, or Stages, for each schedule"


def _no_param_rule(answer: Any) -> str | None:
    if not isinstance(answer, ParamRule):
        return "a ParamRule"
    wrong = [f"{name} {answer_to}, not {getattr(answer, name)!r}" for name, answer_to in _wrong_words(answer)]
    return f"a ParamRule with {' and '.join(wrong)}" if wrong else None


def _wrong_words(rule: ParamRule) -> Iterator[tuple[str, str]]:
    """(field, what it may be) of every field of a ParamRule that is none of that."""
    for name in ("lr", "weight_decay"):
        if not _is_number(getattr(rule, name)):
            yield name, "a number"
    if not (callable(rule.init) or _is_number(rule.init)):
        yield "init", "a number or a function of the drawn value"
    pair: Any = rule.betas
    if not (pair is None or (isinstance(pair, tuple) and len(pair) == 2 and all(map(_is_number, pair)))):
        yield "betas", "a pair of numbers"
    if not (rule.eps is None or _is_number(rule.eps)):
        yield "eps", "a number"
    if not (rule.label is None or isinstance(rule.label, str)):
        yield "label", "a word"
    if not (rule.role is None or rule.role in get_args(Role)):
        yield "role", f"one of {', '.join(get_args(Role))} (a `label` keeps apart what has one role)"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _no_companion(answer: Any) -> str | None:
    return None if isinstance(answer, Companion) else "a Companion"


EXPECTED: dict[str, Callable[[Any], str | None]] = {
    "make_connection": _no_module_with("read", "write"),
    "make_activation": _no_module_with("inputs", "width"),
    "make_update": _no_rule,
    "make_decay": _no_decay,
    "add_logit_transforms": _no_module,
    "add_masks": _no_mask,
    "add_losses": _no_losses,
    "add_schedules": _no_schedules,
    "add_param_rules": _no_param_rule,
    "add_companions": _no_companion,
}
"""Hook to what is wrong with an answer. Of any other `make_*` a module is expected, of any other `add_*` nothing."""
