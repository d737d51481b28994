"""Who was asked what while a model was built, and who made what. Nothing of it is looked at in a step.

It is how two claimants of one place or one parameter are both named, and why a technique does nothing.
"""

import inspect
from collections import Counter
from collections.abc import Callable, Generator
from typing import Any

from coregpt.contract.errors import PluginError

CORE = "core"


class Record:
    """What a `HookManager` and the sites note while plugins are asked."""

    def __init__(self) -> None:
        self.hooks: dict[str, list[str]] = {}
        """By plugin the hooks that it implements."""
        self.asked: Counter[tuple[str, str]] = Counter()
        """How often a plugin was asked a hook."""
        self.answered: Counter[tuple[str, str]] = Counter()
        """How often it gave an answer, or returned something else than it got from the plugins inside."""
        self.makers: dict[str, str] = {}
        """By path of a parameter the plugin that made it, `core` for core's own."""
        self.drawn: dict[str, tuple[float, float]] = {}
        """By path of a parameter standard deviation and mean of what it was drawn from."""
        self._turns: list[str] = []
        self._givers: list[tuple[Any, str, str]] = []
        """Answers with the plugin and the hook that they are from."""

    def watched(self, hook: str, plugin: str, function: Callable[..., Any], wrapper: bool) -> Callable[..., Any]:
        """`function`, the implementation of a hook, with its turns and answers noted."""
        self.hooks.setdefault(plugin, []).append(hook)
        if wrapper:
            return self._wrapper(hook, plugin, function)

        def answering(*args: Any, **kwargs: Any) -> Any:
            self.asked[plugin, hook] += 1
            self._turns.append(plugin)
            try:
                answer = function(*args, **kwargs)
            finally:
                self._turns.pop()
            if answer is not None:
                self.answered[plugin, hook] += 1
                self._givers.append((answer, plugin, hook))
            return answer

        return answering

    def _wrapper(self, hook: str, plugin: str, function: Callable[..., Any]) -> Callable[..., Any]:
        code = getattr(inspect.unwrap(function), "__code__", None)
        where = f" ({code.co_filename}:{code.co_firstlineno})" if code else ""
        wrong = PluginError(f"plugin '{plugin}'{where}: {hook} is a wrapper and must yield exactly once")

        def wrapping(*args: Any, **kwargs: Any) -> Generator[None, Any, Any]:
            self.asked[plugin, hook] += 1
            inner = function(*args, **kwargs)
            self._turns.append(plugin)
            try:
                next(inner)
            except StopIteration:
                raise wrong from None
            finally:
                self._turns.pop()
            given, failed = None, None
            try:
                given = yield
            except BaseException as error:  # the wrapper may want to see what went wrong inside of it
                failed = error
            self._turns.append(plugin)
            try:
                inner.send(given) if failed is None else inner.throw(failed)
            except StopIteration as end:
                answer = end.value
            else:
                raise wrong
            finally:
                self._turns.pop()
            if answer is not given:
                self.answered[plugin, hook] += 1
            return answer

        return wrapping

    @property
    def turn(self) -> str:
        """Whose code is running: the plugin asked last, even where it asked core for a part of its own."""
        return self._turns[-1] if self._turns else CORE

    def givers(self, answers: list[Any]) -> list[str]:
        """Names of the plugins that gave these answers while the model is being built."""
        return sorted({plugin for plugin, _ in self.gave(answers)})

    def gave(self, answers: list[Any]) -> list[tuple[str, str]]:
        """(plugin, hook) that these answers are from, while the model is being built."""
        found = [(plugin, hook) for answer, plugin, hook in self._givers if any(answer is each for each in answers)]
        return list(dict.fromkeys(found))

    def close(self) -> None:
        """The model is built: answers that nobody uses need not be kept."""
        self._givers.clear()


def quoted(plugin: str) -> str:
    """`'NAME'` of a plugin, `core` as it is."""
    return plugin if plugin == CORE else f"'{plugin}'"
