"""What was tried already, on any machine whose ledger is here: by a technique's code, its options, an arm's name."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from coregpt.lab.records.chains import Chains, Registration
from coregpt.lab.records.history import History
from coregpt.lab.records.ledger import Entry
from coregpt.lab.records.merging import Told, told
from coregpt.lab.study.differences import flatten


@dataclass(frozen=True)
class Query:
    """What to look for; None and {} ask nothing. `codes` are digests of the technique, whatever it was called then."""

    technique: str | None = None
    codes: frozenset[str] = frozenset()
    options: Mapping[str, Any] | None = None
    arm: str | None = None
    """A name, or a pattern such as `cap*`."""


@dataclass(frozen=True)
class Tried:
    """One arm of one study, as last declared."""

    study: str
    machine: str
    arm: str
    time: str
    """UTC, of the declaration."""
    plugins: Mapping[str, Mapping[str, Any] | None]
    """Techniques, with options, in which the arm differs from its baseline; None for one that it goes without."""
    settings: Mapping[str, Any]
    """Other settings in which it differs, by dotted key."""
    same_code: bool | None
    """Whether the technique's code is that of now; None where no technique was asked for."""
    verdict: str
    """Empty while nothing was reported."""
    standing: str
    """What that verdict is worth: `screen`, `pilot`, `exploratory`, `confirmed by its chain`; empty without one."""


def search(entries: Iterable[Entry], query: Query) -> Iterator[Tried]:
    """Every arm that is like `query`, in the order in which studies were declared; trials of tuning are left out."""
    entries = list(entries)
    chains = Chains(entries)
    known = {(each.machine, each.study): each for each in chains.registrations}
    for key, each in _declared(entries).items():
        if key in known:
            yield from _arms(each, query, _verdicts(known[key], chains, entries))


def _verdicts(study: Registration, chains: Chains, entries: list[Entry]) -> dict[str, tuple[str, str]]:
    """By arm the verdict of its report, and its standing."""
    outcome = chains.outcome(study)
    if outcome is None:
        return {}
    now = not study.machine and bool(History(entries, study.study).exploratory())
    return {
        arm: (str(said["verdict"]), _standing(study, said, now or bool(said.get("exploratory"))))
        for arm, said in outcome.arms.items()
    }


def _standing(study: Registration, said: Mapping[str, Any], exploratory: bool) -> str:
    """What kind of study it is of; of one that may claim something, whether its chain confirms the claim."""
    kind = "" if study.stage == "confirmation" else study.stage
    if exploratory:
        return f"{kind}, exploratory" if kind else "exploratory"
    if kind or said["verdict"] != "better":
        return kind
    return "confirmed by its chain" if said["confirmed"] else "not confirmed by its chain"


def _declared(entries: Iterable[Entry]) -> dict[tuple[str, str], Told]:
    events = ("declared", "amended", "replanned")
    return {(each.machine, each["study"]): each for each in told(entries) if each.event in events}


def _arms(each: Told, query: Query, verdicts: Mapping[str, tuple[str, str]]) -> Iterator[Tried]:
    said, codes = each["declaration"], each["code"]["plugins"]
    baseline = said["arms"][said["test"]["baseline"]]["plugins"]
    for arm, settings in said["arms"].items():
        own = settings["plugins"]
        differs = {name: own.get(name) for name in [*own, *baseline] if own.get(name) != baseline.get(name)}
        if query.arm is not None and not fnmatchcase(arm, query.arm):
            continue
        same: bool | None = None
        if query.technique is not None:
            names = [name for name in differs if name == query.technique or codes.get(name) in query.codes]
            names = [name for name in names if _has(differs[name], query.options)]
            if not names:
                continue
            same = any(codes.get(name) in query.codes for name in names)
        if arm != said["test"]["baseline"]:
            more = _apart(said["arms"][said["test"]["baseline"]], settings)
            verdict = verdicts.get(arm, ("", ""))
            yield Tried(each["study"], each.machine, arm, each.time, differs, more, same, *verdict)


def _apart(baseline: Mapping[str, Any], arm: Mapping[str, Any]) -> dict[str, Any]:
    base, own = ({k: v for k, v in flatten(each).items() if not k.startswith("plugins")} for each in (baseline, arm))
    return {key: own.get(key) for key in sorted({*base, *own}) if base.get(key) != own.get(key)}


def _has(options: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None) -> bool:
    if not wanted:
        return True
    return options is not None and all(key in options and options[key] == value for key, value in wanted.items())
