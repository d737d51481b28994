"""From the techniques' own words, committed prices and published reports to the catalogue's facts."""

import hashlib
import inspect
import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from coregpt.contract.plugin import PREFIXES, Plugin
from coregpt.lab.laws.pairs import clash_of
from coregpt.lab.study.registry import Catalogue
from coregpt.report.catalogue.atlas import families_in
from coregpt.report.catalogue.effects import effects_in
from coregpt.report.catalogue.facts import Catalogued, Option, Price, Technique, pair
from coregpt.report.catalogue.published import published_in

Tell = Callable[[str], None]
PLACE = re.compile(r" \([^()]*\.py:\d+\)")
"""` (/somewhere/plugin.py:12)`, which messages have after a technique's name."""


def collect(
    catalogue: Catalogue, package: str, prices: Path, reports: Path, tell: Tell, before: Catalogued | None = None
) -> Catalogued:
    """Of every technique of `package`. `prices` is the JSON of `python -m benchmarks.prices`.

    `before` is what was collected once: pairs whose files have not changed since are taken from there.
    """
    names = [name for name in catalogue.names() if catalogue.locate(name).package == package]
    priced, with_what = read_prices(prices)
    measured = effects_in(reports)
    techniques = [
        described(catalogue, name).model_copy(
            update={"prices": priced.get(name, ()), "effects": tuple(measured.get(name, ()))}
        )
        for name in names
    ]
    found = Catalogued(
        techniques=tuple(techniques),
        clashes={},
        priced_with=with_what,
        families=families_in(reports),
        published=published_in(reports),
    )
    return found.model_copy(update={"clashes": clashes(catalogue, found, before, tell)})


def described(catalogue: Catalogue, name: str) -> Technique:
    """What a technique says of itself."""
    plugin, found = catalogue.cls(name), catalogue.locate(name)
    return Technique(
        name=name,
        folder=found.folder.replace(".", "/"),
        digest=hashlib.sha256(found.path.read_bytes()).hexdigest()[:16],
        card=card(plugin),
        options=tuple(options(plugin)),
        hooks=tuple(hooks(plugin)),
        requires=plugin.requires,
        after=plugin.after,
        conflicts=plugin.conflicts,
        prescribes={
            path: f"{'not enabled' if value is None else value} ({source})"
            for path, (value, source) in plugin.prescribes.items()
        },
    )


def card(plugin: type[Plugin]) -> str:
    """The module docstring."""
    return inspect.cleandoc(sys.modules[plugin.__module__].__doc__ or "")


def hooks(plugin: type[Plugin]) -> list[str]:
    """Names of the hooks a plugin answers or wraps."""
    return sorted(name for name in dir(plugin) if name.startswith(PREFIXES))


def options(plugin: type[Plugin]) -> Iterator[Option]:
    schema = plugin.model_json_schema().get("properties", {})
    for name, field in plugin.model_fields.items():
        words = " ".join((field.description or "").split())
        yield Option(
            name=name, kind=kind(schema[name]), default=repr(field.get_default(call_default_factory=True)), words=words
        )


def kind(schema: dict[str, Any]) -> str:
    """Type and bounds of an option, from its JSON schema."""
    if "enum" in schema:
        return " or ".join(map(repr, schema["enum"]))
    if "anyOf" in schema:
        return " or ".join(kind(branch) for branch in schema["anyOf"])
    signs = {"minimum": ">=", "exclusiveMinimum": ">", "maximum": "<=", "exclusiveMaximum": "<"}
    bounds = [f"{sign} {schema[key]}" for key, sign in signs.items() if key in schema]
    return " ".join([str(schema.get("type", "value")), *([f"({', '.join(bounds)})"] if bounds else [])])


def clashes(catalogue: Catalogue, now: Catalogued, before: Catalogued | None, tell: Tell) -> dict[str, str]:
    """Every pair that is new is built once in a tiny model."""
    old = {} if before is None else before.digests()
    same = {name for name, digest in now.digests().items() if old.get(name) == digest}
    found = {}
    pairs = list(itertools.combinations(now.names(), 2))
    new = [(one, other) for one, other in pairs if not {one, other} <= same]
    for one, other in set(pairs) - set(new):
        if before is not None and (message := before.clash(one, other)) is not None:
            found[pair(one, other)] = placeless(message)
    for done, (one, other) in enumerate(new):
        if done % 200 == 0:
            tell(f"pairs built: {done} of {len(new)}; known before: {len(pairs) - len(new)}")
        message = clash_of(catalogue, one, other)
        if message is not None:
            found[pair(one, other)] = placeless(message)
    return dict(sorted(found.items()))


def placeless(message: str) -> str:
    """Without places in files: pages are published, and where a checkout lies is nobody's affair."""
    return PLACE.sub("", message)


def read_prices(path: Path) -> tuple[dict[str, tuple[Price, ...]], str]:
    """By technique, and with what they were measured; nothing where there is no such file.

    Nor where it does not say on which processor: a ratio of one says nothing about another.
    """
    told = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    facts = told.get("facts", {})
    if "processor" not in facts:
        return {}, ""
    found = {each["name"]: tuple(_prices(each)) for each in told["techniques"]}
    return found, ", ".join(filter(None, (facts["processor"], facts.get("date"))))


def _prices(told: dict[str, Any]) -> Iterator[Price]:
    for precision, step in told["step"].items():
        memory = told.get("memory", {}).get(precision)
        yield Price(precision=precision, ratio=step["median"], low=step["low"], high=step["high"], memory=memory)
