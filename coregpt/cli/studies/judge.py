"""`coregpt judge`: a screen of one candidate, one seed at a time, and the confirmation of what it finds."""

import math
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from coregpt.cli.programs import answer_alone
from coregpt.cli.reports.report import read_report
from coregpt.cli.screen import say
from coregpt.cli.studies.ablate import ablate
from coregpt.cli.studies.confirm import Asked as Confirming
from coregpt.cli.studies.confirm import confirm
from coregpt.cli.studies.judged import Judgement, Seen, Word
from coregpt.cli.studies.pairs import read_pair
from coregpt.cli.studies.resources import Resources
from coregpt.lab.atomic import gone_if_refused, writable_folder, write_text
from coregpt.lab.execute.jobs import Policy
from coregpt.lab.execute.slots import find_slots
from coregpt.lab.planning.judging import Pair, paired, screen
from coregpt.lab.planning.judging import told as told_of
from coregpt.lab.progress import duration
from coregpt.lab.records.chains import Chains, Registration
from coregpt.lab.records.ledger import Ledger
from coregpt.lab.records.store import RunFolder
from coregpt.lab.study.chaining import earlier as earlier_of
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.verdicts.confirmed import confirmed
from coregpt.report.verdicts.exit_codes import INTERRUPTED, UNDECIDED

LOG_LINES = 12
LOST = ("failed", "missing")


@dataclass(frozen=True)
class Asked:
    """What is to be judged, and how."""

    baseline: str
    candidate: str
    study: Path
    scale: str | None = None
    budget: float | None = None
    """Seconds of this call; None: as long as it takes."""
    confirm: bool = False
    log: Path | None = None


def judge(asked: Asked, use: Resources) -> int:
    """Exit code 10 confirmed, 15 a candidate, 13 no sign, not confirmed or out of budget, 14 broken."""
    began, until = time.time(), None if asked.budget is None else time.monotonic() + asked.budget
    if until is not None:
        use = replace(use, policy=replace(use.policy or Policy(), until=until))
    pair = paired(*read_pair(asked.study, asked.scale, asked.baseline, asked.candidate, use.store))
    code, found = judged(pair, asked, use, began)
    if found is None:
        return code
    known = Chains(Ledger.of(use.store).read()).of(pair.name)
    found = replace(found, seconds=time.time() - began, chain=known.chain if known else "")
    say("")
    say(found.sentence())
    say(found.line())
    if asked.log is not None:
        with asked.log.open("a", encoding="utf-8") as log:
            log.write(found.line() + "\n")
    answer_alone("judgement", found.data())
    return found.code


# -- screen, then confirmation -----------------------------------------------------------------------------------


def judged(pair: Pair, asked: Asked, use: Resources, began: float) -> tuple[int, Judgement | None]:
    """The answer; None and an exit code where the call was interrupted."""
    chains, name = Chains(Ledger.of(use.store).read()), pair.name
    path = use.reports / name / f"{name}.yaml"
    baseline, candidate = map(told_of, pair.study.arms)
    about = Judgement("no sign", baseline, candidate, began)
    duplicate = told(chains, name) not in (None, "broken")
    if not duplicate:
        code = run_screen(path, screen(pair, chains, path.parent), use)
        if code == INTERRUPTED:
            return code, None
        if code == UNDECIDED:
            return code, stopped(about, pair, use)
    report, c = _read(path, pair)
    word = word_of(report, c)
    found = replace(
        about,
        verdict=word,
        screen=Seen.of(report, c),
        duplicate=duplicate,
        exploratory=bool(report.study.exploratory),
        log=last_lines(report, use.store) if word == "broken" else (),
        report=str(path.parent / "report.md"),
    )
    if word != "candidate":
        return found.code, found
    return confirmation(found, report, c, path, pair, asked, use)


def run_screen(path: Path, text: str, use: Resources) -> int:
    """Declare and run it, or go on with it as it was declared."""
    known = Chains(Ledger.of(use.store).read()).of(path.stem) is not None
    if known and path.exists():
        return ablate(path, None, use)
    with gone_if_refused(path, unless=lambda: Chains(Ledger.of(use.store).read()).of(path.stem) is not None):
        writable_folder(path.parent)
        write_text(path, text)
        say(f"study {path}")
        return ablate(path, None, use)


def confirmation(
    found: Judgement, report: Report, c: Comparison, path: Path, pair: Pair, asked: Asked, use: Resources
) -> tuple[int, Judgement | None]:
    """What fresh seeds say of a candidate: known already, run now if that is wanted and affordable, or left."""
    chains = Chains(Ledger.of(use.store).read())
    name = f"{path.stem}-confirm"
    earlier = told(chains, name)
    if earlier in (None, "broken"):
        if not asked.confirm:
            return found.code, found
        if missing := unaffordable(report, chains.of(name), use):
            return found.code, replace(found, missing=missing)
        code = run_confirmation(name, c.arm, path, pair, chains, use)
        if code == INTERRUPTED:
            return code, None
        if code == UNDECIDED:
            missing = "the budget ended the confirmation"
            return code, replace(found, verdict="out of budget", missing=missing, duplicate=False)
    at = use.reports / name
    fresh = read_report(at / "report.json")
    (c,) = fresh.comparisons
    broken = c.verdict in ("invalid", "unstable")
    word: Word = "broken" if broken else "confirmed" if confirmed(fresh.study, c) else "not confirmed"
    last = replace(
        found,
        verdict=word,
        confirmation=Seen.of(fresh, c),
        duplicate=found.duplicate and earlier not in (None, "broken"),
        exploratory=bool(fresh.study.exploratory),
        log=last_lines(fresh, use.store) if broken else (),
        report=str(at / "report.md"),
    )
    return last.code, last


def run_confirmation(name: str, arm: str, path: Path, pair: Pair, chains: Chains, use: Resources) -> int:
    """Declare and run it, or go on with it as it was declared."""
    file = use.reports / name / f"{name}.yaml"
    if chains.of(name) is not None and file.exists():
        return ablate(file, None, use)
    how = Confirming(arm, alpha=_alpha(pair, chains), name=name, yaml=path, earlier=earlier_of(pair.study))
    return confirm(path.with_name("report.json"), how, use)


def told(chains: Chains, name: str) -> str | None:
    """What the ledger says a study has come to, `broken` for one without a valid comparison; None: not reported."""
    known = chains.of(name)
    outcome = chains.outcome(known) if known else None
    if outcome is None:
        return None
    word = next((str(said["verdict"]) for said in outcome.arms.values()), "broken")
    return "broken" if word in ("invalid", "unstable") else word


def word_of(report: Report, c: Comparison) -> Word:
    """Of a screen."""
    if c.verdict == "candidate":
        return "candidate"
    return "broken" if c.verdict in ("invalid", "unstable") else "no sign"


# -- what is spent ------------------------------------------------------------------------------------------------


def stopped(about: Judgement, pair: Pair, use: Resources) -> Judgement:
    """A screen that its budget has ended: how far it came."""
    done = {(run.arm, run.seed) for run in pair.made.runs if RunFolder(use.store / run.id).result() is not None}
    seeds = sum({(pair.baseline, seed), (pair.candidate, seed)} <= done for seed in pair.study.seeds)
    planned = len(pair.study.seeds)
    missing = f"the budget ended it after {seeds} of {planned} seeds"
    return replace(about, verdict="out of budget", screen=Seen(pair.name, seeds, planned), missing=missing)


def unaffordable(report: Report, known: Registration | None, use: Resources) -> str:
    """What a confirmation needs, if more than is left: then it does not begin, and spends nothing of its chain."""
    until = use.policy.until if use.policy else None
    if until is None or known is not None:
        return ""
    seconds = max((run.train_seconds or 0.0 for run in report.timing.runs), default=0.0)
    seeds = 2 * len(report.study.seeds)
    slots = len(find_slots("cuda" if torch.cuda.is_available() else "cpu", 1, use.jobs))
    needs, left = math.ceil(2 * seeds / slots) * seconds, until - time.monotonic()
    if needs < left:
        return ""
    return f"its confirmation on {seeds} seeds takes about {duration(needs)}, and {duration(max(0.0, left))} are left"


# -- told ---------------------------------------------------------------------------------------------------------


def last_lines(report: Report, store: Path) -> tuple[str, ...]:
    """Of the log of a run without an outcome, the candidate's before the baseline's; of a diverged one else."""
    baseline = report.study.baseline
    order: dict[str, Any] = {status: place for place, status in enumerate((*LOST, "diverged"))}
    bad = [run for run in report.runs if run.status in order and run.run_id]
    bad.sort(key=lambda run: (order[run.status], run.arm == baseline))
    for run in bad:
        if text := RunFolder(store / run.run_id).log_tail(LOG_LINES):
            return (f"{run.arm}, seed {run.seed}: {run.reason}", *text.splitlines())
    return tuple(f"{run.arm}, seed {run.seed}: {run.reason}" for run in bad[:1])


def _alpha(pair: Pair, chains: Chains) -> float | None:
    """The chain's own, once it has one."""
    known = chains.of(pair.name)
    return None if known and chains.first(known.chain) else pair.alpha


def _read(path: Path, pair: Pair) -> tuple[Report, Comparison]:
    report = read_report(path.with_name("report.json"))
    (found,) = report.comparisons
    return report, found
