"""`coregpt try`: a technique's laws, then a tiny model with and without it."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from coregpt.cli.screen import say
from coregpt.cli.studies.ablate import ablate
from coregpt.cli.studies.resources import Resources
from coregpt.cli.tools.plugins import laws_hold, named
from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import writable_folder, write_text
from coregpt.lab.authoring.small_study import study_text
from coregpt.lab.execute.pool import Pool
from coregpt.lab.study.registry import Catalogue
from coregpt.lab.study.yamlfile import Loader


def attempt(argument: str, options: str, place: Path, jobs: int | None, pool: Pool | None) -> int:
    """Study, runs and report go to `place`; runs of the plain model serve later tries too.

    Exit code 1 if a law is broken (then nothing is trained) or a run failed.
    """
    files, name = named(argument)
    given = settings(options)
    catalogue = Catalogue(files)
    catalogue.instances({needed: {} for needed in catalogue.cls(name).requires} | {name: given})
    say(f"laws of {name}")
    if not check_laws(name, files, given):
        say("a law is broken, so nothing was trained")
        return 1
    say()
    folder = writable_folder(place)
    path = folder / f"{name}.yaml"
    write_text(path, small_study(catalogue, name, given, folder))
    code = ablate(path, None, Resources(folder / "runs", folder / "reports", jobs, mlflow=False, pool=pool))
    say()
    say(f"The study is {path}, its runs are in {folder / 'runs'}. It says what happens in a tiny model, no more.")
    return code


def check_laws(name: str, files: list[Path], options: Mapping[str, Any]) -> bool:
    """The laws that take seconds; one line for each."""
    from coregpt.lab.laws import laws
    from coregpt.lab.laws.law_case import LawCase

    case = LawCase(Catalogue(files), name, dict(options))
    holds = laws_hold(case, laws.fast_laws())
    say(f"left to `coregpt plugins check`: {', '.join(map(laws.title, laws.SLOW))}")
    return holds


def small_study(catalogue: Catalogue, name: str, options: Mapping[str, Any], folder: Path) -> str:
    """The study file; plugin files are named as seen from its folder."""
    seen = [Path(os.path.relpath(file, folder.resolve())) for file in catalogue.files.values()]
    return study_text(name, options, seen, catalogue.cls(name).requires)


def settings(text: str) -> dict[str, Any]:
    """`{cap: 5}` as YAML. Raises ConfigError for anything but a mapping."""
    try:
        found = yaml.load(text, Loader) if text else {}
    except yaml.YAMLError as error:
        raise ConfigError(f"--options: not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ConfigError(f"--options: expected a mapping such as '{{cap: 5}}', got {text!r}")
    return found
