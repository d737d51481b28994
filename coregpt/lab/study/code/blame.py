"""Which line of a plugin an error comes from: what its author wants to know first, and all that others want to know."""

import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

from coregpt.contract.errors import CoreGPTError, in_one_line
from coregpt.contract.plugin import Plugin

CORE = Path(__file__).parents[3]
INSTALLED = ("site-packages", "dist-packages")
STANDARD = Path(sysconfig.get_path("stdlib"))
UNCALLED = re.compile(r"^([\w.<>]+)\(\) (?:takes|missing|got)\b")
"""How Python says that a function has not the arguments that it was given; it has no frame then."""


def told(error: BaseException) -> str | None:
    """One line: plugin file and line, and the error. None where no plugin had a part in it, or core says all itself."""
    place = None if isinstance(error, CoreGPTError) else place_of(error)
    return None if place is None else f"plugin code at {place}: {in_one_line(error)}"


def place_of(error: BaseException, file: Path | None = None) -> str | None:
    """`path:line` of the deepest frame in a plugin's file, or in one beside it; of what led to the error if need be.

    Where a plugin's function could not be called as it was, that function's. `file` is a plugin that is being imported,
    and so is not known as one yet.
    """
    roots = {*plugin_roots(), *([file] if file else [])}
    seen: set[int] = set()
    each: BaseException | None = error
    while each is not None and id(each) not in seen:
        seen.add(id(each))
        if isinstance(each, SyntaxError) and each.filename and within(Path(each.filename), roots):
            return f"{each.filename}:{each.lineno}"
        places = [f"{path}:{line}" for path, line in _frames(each) if within(path, roots)]
        if places or (uncalled := _uncalled(each)):
            return places[-1] if places else uncalled
        each = each.__cause__ or each.__context__
    return None


def _uncalled(error: BaseException) -> str | None:
    """Where the function of a plugin is defined that cannot be called with what core hands it."""
    found = UNCALLED.match(str(error)) if isinstance(error, TypeError) else None
    modules = {cls.__module__ for cls in _subclasses(Plugin)} if found else set[str]()
    for module in modules:
        source = getattr(sys.modules.get(module), "__file__", None)
        whole = compile(Path(source).read_bytes(), source, "exec") if source else None
        for code in _codes(whole) if whole else ():
            if found and code.co_qualname == found[1]:
                return f"{code.co_filename}:{code.co_firstlineno}"
    return None


def _codes(code: CodeType) -> Iterator[CodeType]:
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes(each)


def plugin_roots() -> set[Path]:
    """Packages that offer the techniques imported so far, and the folders of those in no package."""
    found = set()
    for cls in _subclasses(Plugin):
        module = sys.modules.get(cls.__module__)
        top = sys.modules.get(cls.__module__.partition(".")[0])
        paths = list(getattr(top, "__path__", [])) or [Path(getattr(module, "__file__", None) or "/").parent]
        found |= {Path(path).resolve() for path in paths}
    return found - {CORE, Path("/")}


def _subclasses(cls: type[Plugin]) -> Iterator[type[Plugin]]:
    for each in cls.__subclasses__():
        yield each
        yield from _subclasses(each)


def _frames(error: BaseException) -> Iterator[tuple[Path, int]]:
    trace = error.__traceback__
    while trace is not None:
        yield Path(trace.tb_frame.f_code.co_filename), trace.tb_lineno
        trace = trace.tb_next


def within(path: Path, roots: set[Path]) -> bool:
    """Whether a file belongs to a plugin, though core and what is installed may lie below the same folder."""
    path = path.resolve()
    for root in roots:
        if path == root or path.is_relative_to(root):
            inside = path.relative_to(root).parts
            return not path.is_relative_to(CORE) and not path.is_relative_to(STANDARD) and not {*inside} & {*INSTALLED}
    return False
