"""The file of a study that tests one candidate again: its settings and the baseline's as found, and no seeds yet."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from coregpt.lab.records.chains import Registration
from coregpt.lab.study.chaining import earlier
from coregpt.lab.study.declaration import Arm, Study
from coregpt.lab.study.kind import foreign
from coregpt.lab.study.place import located

KEPT = ("match", "fork_at")
"""Keys of designs that say how arms are made comparable, and not how they were chosen."""
HEAD = """\
# Written by coregpt confirm. It tests '{arm}' of {study} again: settings as they were found there, both arms on {seeds}
# seeds that no run has used, chosen when the study is registered, at the level that its chain gives it then.
"""


def confirmation(known: Registration, study: Study, arm: str, alpha: float, folder: Path, anytime: bool) -> str:
    """The text of a study file in `folder`. `study` is that on record, with settings as found and as many seeds as
    wanted."""
    said: dict[str, Any] = {
        "question": f"Is {arm} better on fresh seeds, at the settings of {known.study}? ({study.question})",
        "confirms": {"study": known.study, "digest": known.digest, "arm": arm},
        **told_before(study),
        **compared(study, arm, folder),
        "seeds": len(study.seeds),
        "test": {**tested(study, alpha), **({"anytime": True} if anytime else {})},
    }
    return written(HEAD.format(arm=arm, study=known.study, seeds=len(study.seeds)), said, study, folder)


def compared(study: Study, arm: str, folder: Path) -> dict[str, Any]:
    """What a file in `folder` says of two arms of a study, one of them its baseline, and of how they are comparable."""
    pair = [next(each for each in study.arms if each.name == name) for name in (study.criterion.baseline, arm)]
    base, own = (plain(each, study.path, folder) for each in pair)
    inert = {"inert": True} if pair[1].inert else {}
    return {
        **({"hypothesis": study.hypothesis} if study.hypothesis else {}),
        **({"direction": study.direction} if study.direction != "either" else {}),
        **({} if "match" in study.designs else {"equal": study.equal}),
        **({"mode": "fork"} if "fork_at" in study.designs else {}),
        **{key: whole(study.designs[key]) for key in KEPT if key in study.designs},
        "base": without_nothing(base),
        "arms": {pair[0].name: {"inert": True} if pair[0].inert else {}, arm: {**over(base, own), **inert}},
    }


def told_before(study: Study) -> dict[str, Any]:
    """What a file says of tries that no ledger has; they count wherever an arm may be called better."""
    told = earlier(study)
    return {"earlier": told.declared()} if told else {}


def tested(study: Study, alpha: float) -> dict[str, Any]:
    """The study's criterion at another level, without what decides early."""
    test = study.criterion
    return {
        "metric": test.metric,
        "baseline": test.baseline,
        "alpha": alpha,
        "margin": test.margin,
        "power": test.power,
        **({"sd": test.sd} if test.sd is not None else {}),
    }


def written(head: str, said: dict[str, Any], study: Study, folder: Path) -> str:
    """The text of a study file in `folder`, with the files of techniques where they are seen from there."""
    files = [os.path.relpath(path, folder.resolve()) for path in study.catalogue.files.values()]
    said |= {"plugin_files": files} if files else {}
    return head + yaml.safe_dump(said, sort_keys=False, allow_unicode=True, width=110)


def plain(arm: Arm, beside: Path, folder: Path) -> dict[str, Any]:
    """Every setting of an arm as a file in `folder` would say it."""
    if (kind := foreign(arm.run)) is not None:
        return {**kind.words(), "device": arm.machine.device}
    settings = arm.settings()
    where = located(arm.run.data.source, beside.parent)
    if where != arm.run.data.source and not os.path.isabs(arm.run.data.source):
        where = os.path.relpath(where, folder.resolve())
    inputs = {
        name: {"run": source.run} if source.run is not None else {"file": os.path.abspath(source.file or "")}
        for name, source in arm.run.inputs.items()
    }
    return {
        **whole(settings),
        "data": {**settings["data"], "source": where},
        **({"inputs": inputs} if inputs else {}),
    }


def whole(said: Any) -> Any:
    """With whole numbers written as such: `1.0` is refused where it could be all of a run or one step of it."""
    if isinstance(said, Mapping):
        return {key: whole(value) for key, value in said.items()}
    if isinstance(said, list | tuple):
        return [whole(value) for value in said]
    return int(said) if isinstance(said, float) and said.is_integer() else said


def over(base: Mapping[str, Any], arm: Mapping[str, Any]) -> dict[str, Any]:
    """What laid over `base` gives `arm`: a key that it has not is None, which removes it."""
    found: dict[str, Any] = {key: None for key in base if key not in arm and base[key] is not None}
    for key, value in arm.items():
        before = base.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            if inner := over(before, value):
                found[key] = inner
        elif key not in base or before != value:
            found[key] = value
    return found


def without_nothing(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Without keys that have no value, which a file would have to leave out."""
    return {
        key: without_nothing(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if value is not None
    }
