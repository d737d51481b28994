"""`coregpt ledger chains`, `merge` and `find`: what was tried on which baseline, on all machines on record."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from coregpt.cli.screen import say, table
from coregpt.cli.tools.attempt import settings
from coregpt.cli.tools.plugins import named
from coregpt.contract.errors import ConfigError, PluginError
from coregpt.lab.atomic import writable_folder
from coregpt.lab.records.chains import Chains, Registration
from coregpt.lab.records.ledger import Entry, Ledger
from coregpt.lab.records.merging import check, merge
from coregpt.lab.records.tried import Query, Tried, search
from coregpt.lab.study.identity import plugin_digests
from coregpt.lab.study.registry import Catalogue

FOUND, NOTHING = 0, 1


def show_chains(store: Path, as_json: bool) -> int:
    """Every chain with its studies, their levels and outcomes."""
    chains = Chains(_read(store))
    if as_json:
        say(json.dumps([_data(chain, chains) for chain in chains.ids()], indent=1, ensure_ascii=False))
        return 0
    for chain in chains.ids():
        for line in chain_lines(chain, chains):
            say(line)
    if not chains.ids():
        say("no study is registered in a chain yet; coregpt ablate does that before the first run")
    return 0


def chain_lines(chain: str, chains: Chains) -> list[str]:
    """One chain: its alpha, then its studies in the order in which they were registered here."""
    first, spent = chains.first(chain), chains.confirmations(chain)
    alpha = f"alpha {first.alpha:g}, " if first else ""
    confirmed = sum(bool(made and made.confirmed) for made in map(chains.outcome, spent))
    rows = [["study", "stage", "place", "level", "outcome", "registered"]]
    for each in chains.studies(chain):
        place, where = each.place, f" (ledger {each.machine[:8]})" if each.machine else ""
        numbers = [f"{place.k}", f"{place.level:.3g}"] if place else ["-", "-"]
        rows.append([each.study + where, each.stage, *numbers, outcome_words(each, chains), each.time])
    number = "1 confirmation" if len(spent) == 1 else f"{len(spent)} confirmations"
    lines = [f"chain {chain}: {alpha}{number}, {confirmed} of them confirmed", *table(rows)]
    if twice := chains.twice(chain):
        which = ", ".join(map(str, twice))
        lines.append(
            f"  place {which} is taken twice: two machines registered before their ledgers were merged, so the"
        )
        lines.append("  levels of this chain add up to more than its alpha allows")
    return [*lines, ""]


def outcome_words(each: Registration, chains: Chains) -> str:
    """What became of one study of a chain."""
    found = chains.outcome(each)
    if found is None:
        return "nothing reported: abandoned, or not done"
    if each.stage == "confirmation":
        if found.confirmed:
            return f"confirmed: {', '.join(found.confirmed)}"
        invalid = all(said["verdict"] == "invalid" for said in found.arms.values())
        return "not confirmed" + (": no valid comparison" if invalid else "")
    passed = [arm for arm, said in found.arms.items() if said["verdict"] in ("candidate", "screened")]
    return f"candidates: {', '.join(passed)}" if passed else "no sign" if each.stage == "screen" else "no verdict"


def merge_ledger(other: Path, store: Path) -> int:
    """Take in the ledger of another folder of runs, or a ledger file."""
    path = other / "ledger.jsonl" if other.is_dir() else other
    if not path.is_file():
        raise ConfigError(f"{other}: there is no ledger; expected a folder of runs, or a ledger.jsonl")
    Ledger(path).read()  # a broken one is refused before there is a folder for it
    own = Ledger.of(writable_folder(store))
    new, whole = merge(own, Ledger(path))
    entries = own.read()
    wrong = check(entries)
    for line in wrong:
        say(line)
    say(f"{new} entries of {path} are new, of {whole}; both chains were verified, and the head here is now")
    say(entries[-1].hash if entries else "that of an empty ledger")
    return 1 if wrong else 0


def find(technique: str | None, options: str, arm: str | None, store: Path, as_json: bool) -> int:
    """What was tried already. Exit code 0 if something like it was, 1 if nothing was."""
    if technique is None and arm is None:
        raise ConfigError("ledger find: expected a technique, or --arm NAME")
    if options and technique is None:
        raise ConfigError("ledger find: --options belong to a technique; name it")
    found = list(search(_read(store), query(technique, options, arm)))
    if as_json:
        say(json.dumps([vars(each) for each in found], indent=1, ensure_ascii=False))
    elif found:
        for line in table([["study", "arm", "what differs", "code", "verdict", "declared"], *map(_row, found)]):
            say(line)
    else:
        say("nothing like that is on record" + _no_such_options(technique, options))
    return FOUND if found else NOTHING


def query(technique: str | None, options: str, arm: str | None) -> Query:
    """Of the command line; a technique that is no file and not installed is looked for by its name alone."""
    if technique is None:
        return Query(arm=arm)
    if technique.endswith(".py"):
        files, name = named(technique)
        catalogue = Catalogue(files)
    else:
        name, catalogue = technique, Catalogue()
    codes: dict[str, str] = {}
    with suppress(PluginError):  # it may be gone, or be called otherwise now
        codes = plugin_digests(catalogue, [name])
    return Query(name, frozenset(codes.values()), settings(options), arm)


def _no_such_options(technique: str | None, options: str) -> str:
    """A misspelt option is on no record, which would read as if its idea had not been tried."""
    if technique is None or technique.endswith(".py"):
        return ""
    try:
        known = list(Catalogue().cls(technique).model_fields)
    except PluginError:
        return ""
    wrong = [key for key in settings(options) if key not in known]
    has = f"it has {', '.join(known)}" if known else "it has none"
    return f"; {technique} has no option {', '.join(map(repr, wrong))}: {has}" if wrong else ""


def _row(each: Tried) -> list[str]:
    differs = [f"without {name}" if said is None else name + _options(said) for name, said in each.plugins.items()]
    differs += [f"{key} {value}" for key, value in each.settings.items()]
    code = {True: "as now", False: "another version", None: "-"}[each.same_code]
    where = f" (ledger {each.machine[:8]})" if each.machine else ""
    verdict = each.verdict or "none yet"
    if each.standing:
        verdict += f" ({each.standing})"
    return [each.study + where, each.arm, "; ".join(differs), code, verdict, each.time]


def _options(options: Any) -> str:
    return f" ({', '.join(f'{key} {value}' for key, value in options.items())})" if options else ""


def _data(chain: str, chains: Chains) -> dict[str, Any]:
    first = chains.first(chain)
    studies = []
    for each in chains.studies(chain):
        outcome, place = chains.outcome(each), each.place
        studies.append(
            {
                "study": each.study,
                "ledger": each.machine,
                "stage": each.stage,
                "confirms": each.source,
                "place": place.k if place else None,
                "confirmed_before": place.confirmed if place else None,
                "level": place.level if place else None,
                "arms": outcome.arms if outcome else None,
                "registered": each.time,
            }
        )
    return {"chain": chain, "alpha": first.alpha if first else None, "twice": chains.twice(chain), "studies": studies}


def _read(store: Path) -> list[Entry]:
    ledger = Ledger.of(store)
    entries = ledger.read()
    if not entries:
        raise ConfigError(f"{ledger.path}: there is no ledger; coregpt ablate writes one, --runs says where")
    return entries
