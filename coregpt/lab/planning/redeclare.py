"""A published declaration as a study again, with fresh seeds: what `coregpt verify` runs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from coregpt.contract.config import RunConfig
from coregpt.contract.errors import ConfigError, CoreGPTError
from coregpt.lab.designs import DESIGNS
from coregpt.lab.kinds import kind_in
from coregpt.lab.study.declaration import Arm, Criterion, Machine, Study
from coregpt.lab.study.inputs import inputs_of
from coregpt.lab.study.meaning import digests_of
from coregpt.lab.study.registry import Catalogue


def redeclare(
    declaration: Mapping[str, Any],
    digest: str,
    arms: Sequence[str],
    seeds: Sequence[int],
    name: str,
    source: Path,
    store: Path,
) -> Study:
    """Arms, scale and test as published, with other seeds; `arms` gives their order.

    Runs that others are given as inputs must lie in `store`.

    Raises ConfigError if the declaration is not the one that was hashed, or names plugins that are not here.
    """
    if digest not in digests_of(declaration):
        raise ConfigError(f"{source}: study.declaration is not what study.digest was made from; it was edited")
    catalogue = Catalogue(stores=[store])
    try:
        inert = declaration.get("inert", ())
        made = tuple(replace(_arm(arm, declaration["arms"][arm], catalogue, store), inert=arm in inert) for arm in arms)
        criterion = Criterion(**declaration["test"])
        said = {key: declaration[key] for key in ("hypothesis", "direction", "equal")}
        designs = {key: value for design in DESIGNS for key, value in design.restore(declaration).items()}
    except (ValidationError, KeyError, TypeError) as error:
        raise ConfigError(f"{source}: study.declaration cannot be run by this version: {error}") from None
    except CoreGPTError as error:
        raise ConfigError(
            f"{source}: {error}; a technique, an input in a file or a program comes with the study: --study STUDY.yaml"
        ) from None
    question, scale = str(declaration["question"]), str(declaration["scale"])
    return Study(name, source, question, made, tuple(seeds), scale, criterion, catalogue, designs=designs, **said)


def for_fresh_seeds(study: Study) -> Study:
    """The study as its replication runs it: every arm of the question to its end."""
    for design in DESIGNS:
        study = design.fresh(study)
    return study


def _arm(name: str, settings: Mapping[str, Any], catalogue: Catalogue, store: Path) -> Arm:
    if (kind := kind_in(settings)) is not None:
        return Arm(name, kind.restored(settings, store), Machine(device=settings["device"]))
    machine = {key: settings[key] for key in Machine.model_fields}
    run = RunConfig(**{key: value for key, value in settings.items() if key not in Machine.model_fields})
    catalogue.instances(run.plugins)
    inputs_of(run, catalogue)
    return Arm(name, run, Machine(**machine))
