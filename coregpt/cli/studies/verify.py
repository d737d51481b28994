"""`coregpt verify`: run fresh seeds of a published report and say whether they agree with it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from coregpt.cli.reports.report import edits, read_report
from coregpt.cli.screen import say
from coregpt.cli.studies.loading import put_before_laws
from coregpt.cli.studies.published import published_study
from coregpt.cli.studies.resources import Resources
from coregpt.cli.studies.training import execute, refuse_in_vain
from coregpt.contract.errors import ConfigError
from coregpt.engine.training.world import World
from coregpt.lab.atomic import writable_folder
from coregpt.lab.execute.worker import environment
from coregpt.lab.planning.chain import conclude, in_chain_of, place_of, resolved
from coregpt.lab.planning.chain import refuse as refuse_in_chain
from coregpt.lab.planning.measured import measured
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.preregister import code, register
from coregpt.lab.records.chains import Chains
from coregpt.lab.records.ledger import Ledger, LedgerError
from coregpt.lab.study.chaining import confirms
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.outline import Plan
from coregpt.report.analysis.collect import collect
from coregpt.report.analysis.replication import LEVEL, Check, Prediction, by_arm, check, predict
from coregpt.report.analysis.summary import summarise
from coregpt.report.designs import DESIGNS
from coregpt.report.designs.chain.words import sentence
from coregpt.report.drawing.numbers import listing, plural
from coregpt.report.drawing.units import with_unit
from coregpt.report.facts.environment import apart, code_apart
from coregpt.report.facts.model import Report
from coregpt.report.pages.verdict_file import verdict_of
from coregpt.report.verdicts.confirmed import outcomes
from coregpt.report.verdicts.exit_codes import BROKEN, DONE, FAILED, INTERRUPTED, UNDECIDED

AGREES, DISAGREES = DONE, FAILED
FEWEST_SEEDS = 2


def verify(source: Path, seeds: int, yaml: Path | None, use: Resources) -> int:
    """Exit code 0 if every arm agrees, 1 if one disagrees, 13 if the check could not be made."""
    if seeds < FEWEST_SEEDS:
        raise ConfigError(f"--seeds: at least {FEWEST_SEEDS} fresh seeds are needed, one cannot tell effect from luck")
    report = read_report(source)
    study = fresh_study(report, seeds, yaml, source, use)
    predictions = predicted(report, seeds, source)
    say(report.study.question)
    edited = edits(report, source)
    for line in edited:
        say(f"DISAGREES with itself. {line}")
    if edited:
        return DISAGREES
    put_before_laws([study])
    made = plan(outline(study if use.slurm else measured([study], use.store)[0]), use.nodes)
    refuse_in_vain(made, use)
    refuse_in_chain(made.study, made.source.digest, use.store)
    for line in (*announced(report, predictions, study), *spending(made.study, use.store), *moved(report, made, use)):
        say(line)
    try:
        exploratory = register(made, writable_folder(use.store))
    except LedgerError as error:
        raise ConfigError(str(error)) from None
    tally = execute(made, use)
    if tally.interrupted:
        say("stopped: the same command goes on from here")
        return INTERRUPTED
    if tally.failed:
        say(f"{plural(len(tally.failed), 'run')} failed, so nothing can be said; the same command tries again")
        return UNDECIDED
    facts, runs = collect(made, use.store, exploratory)
    fresh = by_arm(runs)
    lost = [run for run in runs if run.status in ("failed", "missing")]
    if lost:
        say(f"{plural(len(lost), 'run')} without an outcome, so nothing can be said: {lost[0].reason}")
        return UNDECIDED
    checks = [check(prediction, fresh[report.study.baseline], fresh[prediction.arm]) for prediction in predictions]
    for line in (*answers(checks, report), *in_chain(summarise(facts, runs), made.study, use.store)):
        say(line)
    return AGREES if all(each.agrees for each in checks) else DISAGREES


def by_verdict(code: int, source: Path) -> int:
    """What `--exit-verdict` makes of it: the report's own verdict where fresh seeds agree with it, broken where not."""
    if code == AGREES:
        return verdict_of(read_report(source)).exit_code
    return BROKEN if code == DISAGREES else code


def fresh_study(report: Report, seeds: int, yaml: Path | None, source: Path, use: Resources) -> Study:
    """The report's study with the first seeds that it did not use.

    Of a study that the ledger has, they are seeds that no run on record has, and the study is one of its chain's.
    """
    facts = report.study
    if facts.stage == "screen":
        raise ConfigError(
            f"{source}: a screen claims nothing that fresh seeds could verify; coregpt confirm tests a candidate"
        )
    study = published_study(report, yaml, source, use)
    chains = Chains(Ledger.of(use.store).read())
    if (known := chains.anywhere(facts.name, facts.digest)) is not None:
        again = replace(study, seeds=tuple(range(seeds)), name=f"{facts.name}-verify-{seeds}", unresolved={})
        return resolved(in_chain_of(known, again, chains), use.store)
    used = {*facts.seeds, *(run.seed for run in facts.other_runs)}
    used |= {seed for design in DESIGNS for seed in design.seeds(report)}
    fresh = tuple(range(max(used) + 1, max(used) + 1 + seeds))
    return replace(study, seeds=fresh, name=f"{facts.name}-verify", unresolved={})


def predicted(report: Report, seeds: int, source: Path) -> list[Prediction]:
    """One prediction per arm that has a published effect. Raises ConfigError if none has."""
    arms = len(report.comparisons)
    found = [prediction for c in report.comparisons if (prediction := predict(c, seeds, arms)) is not None]
    without = [c.arm for c in report.comparisons if c.arm not in {each.arm for each in found}]
    if not found:
        raise ConfigError(f"{source}: no arm has a published difference with an interval, so there is nothing to check")
    if without:
        say(f"Not checked, because the report has no interval for them: {listing(without)}")
    return found


def announced(report: Report, predictions: Sequence[Prediction], study: Study) -> list[str]:
    """What will count as agreement, and what either answer will be worth, before any run."""
    unit, k = report.study.unit, plural(len(study.seeds), "fresh seed")
    lines = [f"{k} per arm ({', '.join(map(str, study.seeds))}), none of them in the report."]
    for each in predictions:
        low, high = each.interval
        published = with_unit(f"{each.published:+.4f}", unit)
        lines.append(
            f"{each.arm}: published gain {published}; agrees if the fresh gain lies from "
            f"{low:+.4f} to {high:+.4f}. Chance of 'agrees' if the published gain is true: {each.if_true:.0%}; "
            f"if it is zero: {each.if_zero:.0%}."
        )
    large = [c for c in report.comparisons if c.look is not None and c.look.decision == "reject"]
    early = [c.arm for c in large if c.look is not None and c.look.n < c.look.planned]
    if early:
        lines.append(f"{listing(early)} stopped early, at an estimate that leans outward: disagreement is likelier.")
    if len(predictions) > 1:
        lines.append(f"Intervals are widened for {plural(len(predictions), 'arm')}: all agree with {LEVEL:.0%}.")
    return lines


def spending(study: Study, store: Path) -> list[str]:
    """What an own study's verification costs its chain; nothing of a stranger's."""
    if confirms(study) is None:
        return []
    place = place_of(study, "", Chains(Ledger.of(store).read()))
    if place is None:
        return ["The study is on record here. So few seeds allow no test, so this spends nothing of its chain."]
    return [
        f"The study is on record here, so this is confirmation {place.k} of its chain, at the settings of the report; "
        f"it is tested at {place.level:.2g}."
    ]


def moved(report: Report, made: Plan, use: Resources) -> list[str]:
    """What is not the same here as it was for the report; of a cluster's nodes only code and data are known."""
    then, values = report.study.code, report.study.environment.values
    names = code_apart(then, code(made)) if then else []
    here = {} if use.slurm else environment(made.runs[0].config, World())
    names += [f"{name} {there} (here {mine})" for name, (there, mine) in apart(values, here).items()]
    if names:
        return [f"Not the same as for the report: {'; '.join(names)}. A disagreement may come from that."]
    same = [*(["engine", "plugins", "data"] if then else []), *(["environment"] if values and here else [])]
    return [f"{listing(same).capitalize()} are those of the report."] if same else []


def in_chain(fresh: Report, study: Study, store: Path) -> list[str]:
    """What the chain of an own study says of the fresh seeds alone, which goes on record; nothing of a stranger's."""
    if confirms(study) is None:
        return []
    conclude(study, outcomes(fresh.study, fresh.comparisons), store)
    said = [(c.arm, sentence(fresh.study, c)) for c in fresh.comparisons]
    return [f"{arm}:{text}" for arm, text in said if text]


def answers(checks: Sequence[Check], report: Report) -> list[str]:
    """One line per arm, and one for all."""
    lines, unit = [""], report.study.unit
    for each in checks:
        word = "agrees" if each.agrees else "DISAGREES"
        fresh = each.reason if each.fresh is None else f"fresh gain {with_unit(f'{each.fresh:+.4f}', unit)}"
        lines.append(f"{each.prediction.arm}: {word}. {fresh[0].upper()}{fresh[1:]}.")
    weak = [each.prediction.arm for each in checks if each.agrees and each.prediction.if_zero > 0.5]
    if weak:
        lines.append(f"Agreement says little for {listing(weak)}: no effect at all would mostly agree too.")
    return lines
