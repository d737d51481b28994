"""Everything wrong with a configuration, each with its key path, in words a user can act on."""

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from coregpt.contract.config import Span
from coregpt.lab.study.registry import nearest
from coregpt.lab.study.yamlfile import Key

Problem = tuple[Key, str]
LONGEST = 300
"""Signs of a value."""


class _Short(reprlib.Repr):
    """`repr` that goes no further into a value than a line has room for."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple = 4, 12, 12, 12
        self.maxstring = self.maxother = self.maxlong = LONGEST


def explain(error: ValidationError, model: type[BaseModel]) -> list[Problem]:
    """One problem per wrong field: what was expected, what was found, the nearest valid name."""
    found: dict[Key, str] = {}
    for item in error.errors():
        key = tuple(part for part in item["loc"] if not _is_union_branch(part))
        kind, message = item["type"], item["msg"].removeprefix("Value error, ")
        got = f", got {shown(item['input'])}"
        if kind == "extra_forbidden":
            message = f"unknown key{nearest(str(key[-1]), fields_at(model, key[:-1]))}"
        elif kind == "missing":
            message = "is missing"
        elif kind in ("model_type", "dict_type", "model_attributes_type"):
            message = f"expected a mapping, got {shown(item['input'])}"
        elif kind != "value_error":
            message = f"{message[0].lower()}{message[1:].replace('input should', 'should')}{got}"
        message = message.replace("input should", "should")
        if key in found:  # another branch of a union: one mistake, not two
            message = f"{found[key].removesuffix(got)} or {message.removeprefix('should be ')}"
        found[key] = message
    return list(found.items())


def shown(value: Any) -> str:
    """A wrong value as a line has room for it: a file may hold a thousand numbers, or by its aliases a million."""
    text = _Short().repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def coerced(given: Any, taken: Any, key: Key = ()) -> Iterator[Problem]:
    """Where validation silently turned text or a truth value into a number: `given` in, `taken` out."""
    if isinstance(given, Mapping) and isinstance(taken, Mapping):
        for name in given.keys() & taken.keys():
            yield from coerced(given[name], taken[name], (*key, name))
        return
    for kind, word in ((bool, "true or false"), (str, "text")):
        if isinstance(given, kind) != isinstance(taken, kind):
            yield key, f"expected {word if isinstance(taken, kind) else 'a number'}, got {given!r}"
            return


WHOLE = "1.0 is the whole run as a share and one step as a number; write 1 for one step, or a share below 1"
SPAN = get_args(Span)[-1]
"""What of the type of a stretch of a run no other number has."""


def whole_shares(given: Mapping[str, Any], model: type[BaseModel]) -> Iterator[Problem]:
    """Where a stretch of a run (`Span`) is said as `1.0`, which reads as all of it and would be a single step."""
    for name, value in given.items():
        field = model.model_fields.get(name)
        if isinstance(value, float) and value == 1 and field is not None and _is_span(field.annotation, field.metadata):
            yield (name,), WHOLE


def _is_span(annotation: Any, metadata: Iterable[Any] = ()) -> bool:
    """Whether a type is `Span`, or one of its alternatives is."""
    own = (*metadata, *getattr(annotation, "__metadata__", ()))
    return SPAN in own or any(_is_span(each) for each in get_args(annotation))


def fields_at(model: type[BaseModel], key: Key) -> list[str]:
    """Names that may stand under `key` of a nested model."""
    waiting = iter(key)
    for part in waiting:
        field = model.model_fields.get(str(part))
        inner = _model_of(field.annotation) if field else None
        if get_origin(inner) is dict and next(waiting, None) is not None:  # by name, each of them a model
            inner = get_args(inner)[1]
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


def _model_of(annotation: Any) -> Any:
    """The model among the alternatives of a type, as of `BudgetFile | None`; without one the type itself."""
    models = (each for each in get_args(annotation) if isinstance(each, type) and issubclass(each, BaseModel))
    return annotation if get_origin(annotation) is dict else next(models, annotation)


def _is_union_branch(part: str | int) -> bool:
    """Pydantic puts the tried type into the location of a union's errors."""
    return isinstance(part, str) and (
        part in ("int", "bool", "float", "str", "none") or "[" in part or part.startswith("constrained-")
    )
