"""What changed between two declarations of a study, apart from what was only said in another way."""

from collections.abc import Mapping, Sequence
from typing import Any

from coregpt.contract.config import RunConfig
from coregpt.lab.study.declaration import Machine
from coregpt.lab.study.differences import flatten

Options = Mapping[str, Mapping[str, Any]]
"""By technique, options and values."""
SHOWN = 4
HOW_MUCH = ("budget.hours", "budget.usd", "budget.usd_per_gpu_hour")
"""What a study may cost: it decides when a study stops, not what it finds, so more of it is no amendment."""
WATCHED = "evaluate"
"""What is measured of finished runs beside the metric. No verdict sees it, so it is no amendment either."""

REMEMBERED = "earlier"
"""What was tried where no ledger has it: told late, it can only lower the level that the study has in its chain."""


def amendments(
    before: Mapping[str, Any], after: Mapping[str, Any], same_data: bool, unsaid: tuple[Options, Options] = ({}, {})
) -> list[str]:
    """Dotted keys, sorted, whose values are not the same.

    With `same_data`, by digest, where the data lie does not count. A setting that a later version of coregpt knows
    does not count either where it has its default: both declarations mean what was always done. Likewise an option that
    only one version of a technique knows, at the value in `unsaid`, of before and of after; what else changed in the
    technique is its code, which is judged by what its runs come to (`History`).
    """
    old, new = flatten(_told_whole(before, after, unsaid[1])), flatten(_told_whole(after, before, unsaid[0]))
    free = (*HOW_MUCH, *(key for key in {*old, *new} if key.partition(".")[0] in (WATCHED, REMEMBERED)))
    keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key) and key not in free]
    arms = before.get("arms", {}).keys() & after.get("arms", {}).keys()
    return [key for key in keys if not _said_otherwise(key, _setting(key, arms), old, new, same_data)]


def _told_whole(own: Mapping[str, Any], other: Mapping[str, Any], unsaid: Options) -> dict[str, Any]:
    """A declaration with the options that only the other one has, of techniques that both have in an arm."""
    arms = dict(own.get("arms", {}))
    for name in arms.keys() & other.get("arms", {}).keys():
        mine, theirs = arms[name].get("plugins", {}), other["arms"][name].get("plugins", {})
        more = {
            plugin: {key: value for key, value in unsaid.get(plugin, {}).items() if key in theirs[plugin]}
            for plugin in mine.keys() & theirs.keys()
        }
        plugins = {plugin: {**more.get(plugin, {}), **options} for plugin, options in mine.items()}
        arms[name] = {**arms[name], "plugins": plugins}
    return {**own, "arms": arms}


def _said_otherwise(key: str, setting: str, old: Mapping[str, Any], new: Mapping[str, Any], same_data: bool) -> bool:
    if setting == "data.source":
        return same_data
    known = {**flatten(RunConfig().model_dump(mode="json")), **Machine().model_dump(mode="json")}
    return key not in old and setting in known and new[key] == known[setting]


def _setting(key: str, arms: "Sequence[str] | set[str]") -> str:
    """`optim.lr` of `arms.my arm.optim.lr`, for an arm that both declarations have."""
    return next((key.removeprefix(f"arms.{arm}.") for arm in arms if key.startswith(f"arms.{arm}.")), "")


def told(before: Mapping[str, Any], after: Mapping[str, Any], keys: Sequence[str] | None = None) -> str:
    """`test.alpha 0.05 -> 0.1, seeds [0, 1] -> [0, 1, 2]`: of these keys, or of all that differ."""
    old, new = flatten(before), flatten(after)
    if keys is None:
        keys = [key for key in sorted({*old, *new}) if old.get(key) != new.get(key)]
    parts = [f"{key} {old.get(key, 'absent')} -> {new.get(key, 'absent')}" for key in keys[:SHOWN]]
    more = len(keys) - SHOWN
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "")
