"""The arms that a command line names: listed ones of a study file, or commits where its base is a command."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from coregpt.contract.errors import ConfigError
from coregpt.lab.command.git import Repository
from coregpt.lab.planning.chain import resolved
from coregpt.lab.planning.judging import slug
from coregpt.lab.planning.load import load
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.registry import nearest
from coregpt.lab.study.yamlfile import read

COMMAND = "command"
TWIN = "twin"


def read_pair(path: Path, scale: str | None, baseline: str, candidate: str, store: Path) -> tuple[Study, str, str]:
    """The study, and what its two arms are called in it."""
    said = read(path).data
    if not _of_commits(said, {baseline, candidate}):
        return _load(path, scale, store), baseline, candidate
    names = slug(baseline), slug(candidate)
    if names[0] == names[1]:
        raise ConfigError("--candidate: is the baseline; `coregpt placebo` compares that with itself")
    for option, ref in (("--baseline", baseline), ("--candidate", candidate)):
        _refuse_unknown(option, ref, said, path)
    arms = {name: {COMMAND: {"at": ref}} for name, ref in zip(names, (baseline, candidate), strict=True)}
    return _load(path, scale, store, _over(said, names[0], arms)), *names


def read_alone(path: Path, scale: str | None, baseline: str | None, store: Path) -> Study:
    """The study with another baseline than it says, if one is named."""
    said = read(path).data
    test = said.get("test")
    name = baseline or (str(test.get("baseline", "")) if isinstance(test, Mapping) else "")
    if name and _of_commits(said, {name}):
        own = slug(name)  # a study has two arms; the other one stands there for the loader alone
        arms = {own: {COMMAND: {"at": name}}, f"{own}-{TWIN}": {COMMAND: {"at": name, "set": {TWIN: 1}}}}
        return _load(path, scale, store, _over(said, own, arms))
    study = resolved(_load(path, scale, store), store)
    if baseline is None:
        return study
    arms_there = [arm.name for arm in study.written]
    if baseline not in arms_there:
        raise ConfigError(f"--baseline: '{baseline}' is no arm of {path}{nearest(baseline, arms_there)}")
    return replace(study, criterion=study.criterion.model_copy(update={"baseline": baseline}))


def _of_commits(said: Mapping[str, Any], names: set[str]) -> bool:
    """Whether the names are none of the arms that the file lists, and its base is a command."""
    arms, base = said.get("arms"), said.get("base")
    listed = isinstance(arms, Mapping) and names <= arms.keys()
    return not listed and isinstance(base, Mapping) and COMMAND in base


def _refuse_unknown(option: str, ref: str, said: Mapping[str, Any], path: Path) -> None:
    """Raises ConfigError that names the option: the file has no line with what was typed."""
    repo = said["base"][COMMAND].get("repo") if isinstance(said["base"][COMMAND], Mapping) else None
    if not isinstance(repo, str) or not (path.parent / repo).is_dir():
        return  # told with its line where the file is loaded
    try:
        Repository.at(path.parent / repo).version(ref, path.parent)
    except ConfigError as error:
        if str(error).startswith(f"'{ref}'"):  # what else is wrong has a line of the file
            raise ConfigError(f"{option}: {error}") from None


def _over(said: Mapping[str, Any], baseline: str, arms: Mapping[str, Any]) -> dict[str, Any]:
    test = said.get("test")
    return {"arms": dict(arms), "test": {**(test if isinstance(test, Mapping) else {}), "baseline": baseline}}


def _load(path: Path, scale: str | None, store: Path, over: Mapping[str, Any] | None = None) -> Study:
    return load(path, scale, torch.cuda.device_count(), store, over)
