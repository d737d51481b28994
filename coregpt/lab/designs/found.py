"""Settings that are found before the test: laid over the arms, entered into the ledger; the seeds that find them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.study.declaration import Arm, Machine, Study
from coregpt.lab.study.differences import settings
from coregpt.lab.study.identity import WATCHING
from coregpt.lab.study.problems import Problem, coerced, explain
from coregpt.lab.study.registry import Catalogue
from coregpt.lab.study.sections.space import Point
from coregpt.lab.study.yamlfile import Key

FIRST_SEED = 1000
"""Of tuning, where a study says only how many: seeds of tests that are counted off are smaller."""
COMPARED_AT = ("data", "tokens", "eval_tokens", *sorted(WATCHING), *Machine.model_fields)
"""Settings in which arms must not be made to differ."""


def frozen(study: Study, found: Mapping[str, Mapping[str, Any]]) -> Study:
    """The study with the settings that were found, by arm; its digest stays that of what was declared."""
    written = study.written
    arms = tuple(with_settings(arm, found.get(arm.name, {}), study.catalogue) for arm in written)
    return replace(study, arms=arms, as_declared=written)


def freeze(study: Study, found: Mapping[str, Mapping[str, Any]], store: Path) -> None:
    """Enter the settings into the ledger, unless they are the latest there. Raises LedgerError."""
    ledger = Ledger.of(store)
    with ledger.locked():
        known = [e for e in ledger.read() if e.event == "frozen" and e["study"] == study.name]
        body = {"digest": study.digest, "settings": {arm: dict(point) for arm, point in found.items()}}
        if not known or any(known[-1][key] != value for key, value in body.items()):
            ledger.add("frozen", study=study.name, **body)


def with_settings(arm: Arm, values: Mapping[str, Any], catalogue: Catalogue) -> Arm:
    """The arm with other values of some settings. Raises ValidationError or ConfigError for what is refused."""
    data = arm.run.model_dump(mode="json")
    for path, value in values.items():
        _put(data, path, value)
    run = RunConfig(**data)
    options = {name: made.model_dump(mode="json") for name, made in catalogue.instances(run.plugins)}
    return replace(arm, run=run.model_copy(update={"plugins": options}))


def _put(data: dict[str, Any], path: str, value: Any) -> None:
    """Set a dotted path; a key may itself hold dots, as `package.module:name` does."""
    inside = next((key for key in data if path.startswith(f"{key}.")), None)
    if inside is None:
        data[path] = value
    else:
        _put(data[inside], path.removeprefix(f"{inside}."), value)


def on_select(arm: Arm) -> Arm:
    """A trial: `held_out` is left alone along its course, also where the test's target needs that curve."""
    return replace(arm, run=arm.run.model_copy(update={"held_out_curve": False}))


def not_taken(arm: Arm, point: Point, catalogue: Catalogue) -> Iterator[str]:
    """Why an arm cannot have these values."""
    try:
        taken = settings(with_settings(arm, point, catalogue))
    except ValidationError as error:
        yield from (": ".join([".".join(map(str, key)), text]) for key, text in explain(error, RunConfig))
    except ConfigError as error:
        yield str(error)
    else:
        for path, value in point.items():
            yield from (text for _, text in coerced(value, taken[path]))


def tuning_seeds(given: int | Sequence[int], test: Sequence[int], key: Key, found: list[Problem]) -> Sequence[int]:
    """Those given, or as many as given, none of them a seed of the test; `found` is told what is wrong."""
    if isinstance(given, int):
        first = max(FIRST_SEED, max(test) + 1)
        return range(first, first + given)
    if not given or len(set(given)) < len(given):
        found.append((key, f"expected different seeds, got {list(given)}"))
    if both := sorted(set(given) & set(test)):
        text = ", ".join(map(str, both))
        found.append((key, f"{text}: also a seed of the test; settings are judged on seeds that did not choose them"))
    return given
