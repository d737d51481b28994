"""Runs of a study that count no longer, because what would be computed now is not what they computed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from coregpt.contract.errors import CoreGPTError
from coregpt.lab.records.amendment import amendments
from coregpt.lab.records.history import DECLARING, History, Past
from coregpt.lab.records.ledger import Entry
from coregpt.lab.study.identity import engine_digest, plugin_digests
from coregpt.lab.study.registry import Catalogue


def older(history: History, planned: Mapping[str, tuple[str, int]]) -> list[Past]:
    """Runs that were started under another identity than the one that their arm and seed have in `planned`, by id."""
    return [past for past, successor in history.superseded(dict(planned)) if successor]


def superseded_runs(entries: Sequence[Entry]) -> set[str]:
    """Ids of all runs of all studies that another run has taken the place of."""
    latest = {entry["study"]: entry for entry in entries if entry.event in DECLARING}
    planned = {study: _cells(entry) for study, entry in latest.items()}
    current = {run for cells in planned.values() for run in cells}
    return {past.id for study, cells in planned.items() for past in older(History(entries, study), cells)} - current


def older_runs(entries: Sequence[Entry]) -> set[str]:
    """Those, and runs whose code has changed since: at the next call others will take their places."""
    latest = {entry["study"]: entry for entry in entries if entry.event in DECLARING}
    return superseded_runs(entries) | {run for entry in latest.values() for run in moved_runs(entry)}


def moved_runs(declared: Entry) -> set[str]:
    """Runs of a declaration that were planned with another engine, or another plugin, than there is now."""
    gone = moved(declared)
    if ENGINE in gone:
        return {run for run, *_ in declared["runs"]}
    arms = {name: arm.get("plugins", {}) for name, arm in declared["declaration"]["arms"].items()}
    return {run for run, arm, _ in declared["runs"] if gone & arms.get(arm, {}).keys()}


ENGINE = ""
"""Stands for the engine among the names of plugins."""


def moved(declared: Entry) -> set[str]:
    """Plugins, and ENGINE, that are not what they were at a declaration. A file that is in no package is not asked."""
    then = declared.get("code") or {}
    if not then:  # nothing is known of what it was planned with
        return set()
    if " " in then["engine"]:  # words, of another kind than our trainer's: it is asked when it is planned
        return set()
    gone = {ENGINE} if then["engine"] != engine_digest() else set()
    return gone | {name for name, digest in then["plugins"].items() if _digest(name) not in ("", digest)}


@cache
def _digest(name: str) -> str:
    """Of a plugin as it is now; empty for one that cannot be found or read."""
    try:
        return plugin_digests(Catalogue(), [name])[name]
    except CoreGPTError:
        return ""


def _cells(declared: Entry) -> dict[str, tuple[str, int]]:
    return {run: (arm, seed) for run, arm, seed in declared["runs"]}


def older_of(entries: Sequence[Entry], declared: Entry) -> list[str]:
    """One line for the runs of a study that its newest declaration does not count; nothing if there is none."""
    history = History(entries, declared["study"])
    found = older(history, _cells(declared))
    lines = [f"{_counted(found)}; coregpt ls lists them as older"] if found else []
    gone, runs = moved(declared), moved_runs(declared)
    begun = [past for past in history.runs() if past.id in runs]
    if begun:
        what = " and ".join("the engine" if name == ENGINE else f"plugin {name}" for name in sorted(gone))
        lines.append(f"{_counted(begun)}: {what} changed since; coregpt ablate trains them again")
    return lines


def why_older(history: History, planned: Mapping[str, tuple[str, int]], now: Mapping[str, Any]) -> list[str]:
    """How many runs of the study do not count as it is `planned`, and by what it differs from when they were.

    `now` has what an entry that declares the study would have: `declaration`, `unsaid` and `code`.
    """
    found = older(history, planned)
    if not found:
        return []
    reasons = Counter(reason for past in found for reason in _reasons(past, history, now))
    why = "; ".join(reason + ("" if number == len(found) else f" ({number})") for reason, number in reasons.items())
    return [f"{_counted(found)}: {why}. The report lists their values"]


def _counted(found: Sequence[Past]) -> str:
    """`3 runs of this study (2 finished, 1 failed) have an older identity and do not count`."""
    states = ", ".join(f"{number} {status}" for status, number in Counter(past.status for past in found).items())
    runs, have = ("1 run", "has") if len(found) == 1 else (f"{len(found)} runs", "have")
    do = "does" if len(found) == 1 else "do"
    return f"{runs} of this study ({states}) {have} an older identity and {do} not count"


def _reasons(past: Past, history: History, now: Mapping[str, Any]) -> list[str]:
    """What moved since a run was last planned."""
    before = next(entry for entry in reversed(history.declared) if any(run == past.id for run, *_ in entry["runs"]))
    then, code = before["code"], now["code"]
    reasons = [f"the {part} changed" for part in ("engine", "data") if then[part] != code[part]]
    arm, same = [{"arms": {past.arm: each["declaration"]["arms"].get(past.arm, {})}} for each in (before, now)]
    plugins = arm["arms"][past.arm].get("plugins", {})
    for name in sorted(then["plugins"].keys() & code["plugins"].keys() & plugins.keys()):
        if then["plugins"][name] != code["plugins"][name]:
            reasons.append(f"plugin {name}, or what it imports, changed")
    if arm["arms"][past.arm] and same["arms"][past.arm]:
        changed = amendments(arm, same, True, (before.get("unsaid") or {}, now["unsaid"]))
        reasons += ["settings changed"] if changed else []
    return reasons or ["settings or the machine changed"]
