"""Runs of a study that count no longer, because what would be computed now is not what they computed."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from coregpt.lab.records.amendment import amendments
from coregpt.lab.records.history import DECLARING, History, Past
from coregpt.lab.records.ledger import Entry


def older(history: History, planned: Mapping[str, tuple[str, int]]) -> list[Past]:
    """Runs that were started under another identity than the one that their arm and seed have in `planned`, by id."""
    return [past for past, successor in history.superseded(dict(planned)) if successor]


def older_runs(entries: Sequence[Entry]) -> set[str]:
    """Ids of all runs of all studies that another run has taken the place of."""
    latest = {entry["study"]: entry for entry in entries if entry.event in DECLARING}
    planned = {study: _cells(entry) for study, entry in latest.items()}
    current = {run for cells in planned.values() for run in cells}
    return {past.id for study, cells in planned.items() for past in older(History(entries, study), cells)} - current


def _cells(declared: Entry) -> dict[str, tuple[str, int]]:
    return {run: (arm, seed) for run, arm, seed in declared["runs"]}


def older_of(entries: Sequence[Entry], declared: Entry) -> list[str]:
    """One line for the runs of a study that its newest declaration does not count; nothing if there is none."""
    found = older(History(entries, declared["study"]), _cells(declared))
    return [f"{_counted(found)}; coregpt ls lists them as older"] if found else []


def why_older(
    history: History, planned: Mapping[str, tuple[str, int]], declaration: Mapping[str, Any], code: Mapping[str, Any]
) -> list[str]:
    """How many runs of the study do not count as it is `planned`, and by what it differs from when they were."""
    found = older(history, planned)
    if not found:
        return []
    reasons = Counter(reason for past in found for reason in _reasons(past, history, declaration, code))
    why = "; ".join(reason + ("" if number == len(found) else f" ({number})") for reason, number in reasons.items())
    return [f"{_counted(found)}: {why}. The report lists their values"]


def _counted(found: Sequence[Past]) -> str:
    """`3 runs of this study (2 finished, 1 failed) have an older identity and do not count`."""
    states = ", ".join(f"{number} {status}" for status, number in Counter(past.status for past in found).items())
    runs, have = ("1 run", "has") if len(found) == 1 else (f"{len(found)} runs", "have")
    do = "does" if len(found) == 1 else "do"
    return f"{runs} of this study ({states}) {have} an older identity and {do} not count"


def _reasons(past: Past, history: History, declaration: Mapping[str, Any], code: Mapping[str, Any]) -> list[str]:
    """What moved since a run was last planned."""
    before = next(entry for entry in reversed(history.declared) if any(run == past.id for run, *_ in entry["runs"]))
    then, arms = before["code"], before["declaration"]["arms"]
    reasons = [f"the {part} changed" for part in ("engine", "data") if then[part] != code[part]]
    plugins = arms.get(past.arm, {}).get("plugins", {})
    for name in sorted(then["plugins"].keys() & code["plugins"].keys() & plugins.keys()):
        if then["plugins"][name] != code["plugins"][name]:
            reasons.append(f"plugin {name}, or what it imports, changed")
    now = declaration["arms"]
    if past.arm in arms and past.arm in now:
        changed = amendments(arms[past.arm], now[past.arm], same_data=True)
        reasons += ["settings changed"] if [key for key in changed if key != "data.source"] else []
    return reasons or ["settings or the machine changed"]
