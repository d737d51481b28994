"""`coregpt verify`: run fresh seeds of a published report and say whether they agree with it."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from coregpt.cli.loading import load_studies
from coregpt.cli.report import read_report
from coregpt.cli.resources import Resources
from coregpt.cli.screen import say
from coregpt.cli.training import execute, refuse_in_vain
from coregpt.contract.errors import ConfigError
from coregpt.lab.atomic import writable_folder
from coregpt.lab.designs.found import frozen
from coregpt.lab.planning.measured import measured
from coregpt.lab.planning.plans import outline, plan
from coregpt.lab.planning.preregister import code, register, unsaid
from coregpt.lab.planning.redeclare import for_fresh_seeds, redeclare
from coregpt.lab.records.amendment import amendments
from coregpt.lab.records.ledger import LedgerError
from coregpt.lab.study.declaration import Study
from coregpt.lab.study.meaning import digests_of, meant
from coregpt.lab.study.outline import Plan
from coregpt.report.analysis.collect import collect
from coregpt.report.analysis.replication import LEVEL, Check, Prediction, by_arm, check, contradictions, predict
from coregpt.report.designs import DESIGNS
from coregpt.report.drawing.numbers import listing, plural
from coregpt.report.facts.model import Report
from coregpt.report.pages.verdict_file import verdict_of
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
    edited = contradictions(report)
    for line in edited:
        say(f"DISAGREES with itself. {line}")
    if edited:
        return DISAGREES
    made = plan(outline(study if use.slurm else measured([study], use.store)[0]), use.nodes)
    refuse_in_vain(made, use)
    for line in (*announced(report, predictions, study), *moved(report, made)):
        say(line)
    try:
        register(made, writable_folder(use.store))
    except LedgerError as error:
        raise ConfigError(str(error)) from None
    tally = execute(made, use)
    if tally.interrupted:
        say("stopped: the same command goes on from here")
        return INTERRUPTED
    if tally.failed:
        say(f"{plural(len(tally.failed), 'run')} failed, so nothing can be said; the same command tries again")
        return UNDECIDED
    _, runs = collect(made, use.store)
    fresh = by_arm(runs)
    lost = [run for run in runs if run.status in ("failed", "missing")]
    if lost:
        say(f"{plural(len(lost), 'run')} without an outcome, so nothing can be said: {lost[0].reason}")
        return UNDECIDED
    checks = [check(prediction, fresh[report.study.baseline], fresh[prediction.arm]) for prediction in predictions]
    for line in answers(checks, report):
        say(line)
    return AGREES if all(each.agrees for each in checks) else DISAGREES


def by_verdict(code: int, source: Path) -> int:
    """What `--exit-verdict` makes of it: the report's own verdict where fresh seeds agree with it, broken where not."""
    if code == AGREES:
        return verdict_of(read_report(source)).exit_code
    return BROKEN if code == DISAGREES else code


def fresh_study(report: Report, seeds: int, yaml: Path | None, source: Path, use: Resources) -> Study:
    """The report's study with the first seeds that it did not use."""
    facts = report.study
    used = {*facts.seeds, *(run.seed for run in facts.other_runs)}
    used |= {seed for design in DESIGNS for seed in design.seeds(report)}
    fresh = tuple(range(max(used) + 1, max(used) + 1 + seeds))
    name = f"{facts.name}-verify"
    if yaml is not None:
        studies = load_studies(yaml, facts.scale or None, use.store, use.slurm)
        study = next((each for each in studies if same_study(each, report)), studies[0])
        if not same_study(study, report):
            raise ConfigError(
                f"{yaml}: is not the study of {source}: its digest is {study.digest[:12]}, "
                f"the report's is {facts.digest[:12]}"
            )
        return as_tuned(replace(for_fresh_seeds(study), seeds=fresh, name=name), report)
    if not facts.declaration:
        raise ConfigError(
            f"{source}: the report does not hold its study's declaration (an older version wrote it, or it was made "
            "from logs); give the study with --study STUDY.yaml"
        )
    arms = [arm.name for arm in facts.arms if arm.name != facts.yardstick]
    study = redeclare(facts.declaration, facts.digest, arms, fresh, name, source, use.store)
    return as_tuned(for_fresh_seeds(study), report)


def same_study(study: Study, report: Report) -> bool:
    """Whether a study is what a report, perhaps of an earlier version, declares."""
    facts, mine = report.study, study.preregistration()
    if facts.digest in digests_of(mine):
        return True
    if not facts.declaration:
        return False
    return not amendments(meant(facts.declaration), meant(mine), same_data=False, unsaid=({}, unsaid(study)))


def as_tuned(study: Study, report: Report) -> Study:
    """The study with the settings that the report's tuning found; nothing is tuned again."""
    found = {arm: values for design in DESIGNS for arm, values in design.settings(report).items()}
    return frozen(study, found) if found else study


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
        lines.append(
            f"{each.arm}: published gain {each.published:+.4f} {unit}; agrees if the fresh gain lies from "
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


def moved(report: Report, made: Plan) -> list[str]:
    """What is not the same here as it was for the report."""
    then, now = report.study.code, code(made)
    if not then:
        return []
    names = [name for name in ("engine", "data") if then[name] != now[name]]
    names += [f"plugin {name}" for name, digest in then["plugins"].items() if now["plugins"].get(name) != digest]
    if not names:
        return ["Engine, plugins and data are those of the report."]
    return [f"Not the same as for the report: {listing(names)}; a disagreement may come from that."]


def answers(checks: Sequence[Check], report: Report) -> list[str]:
    """One line per arm, and one for all."""
    lines = [""]
    for each in checks:
        word = "agrees" if each.agrees else "DISAGREES"
        fresh = each.reason if each.fresh is None else f"fresh gain {each.fresh:+.4f} {report.study.unit}"
        lines.append(f"{each.prediction.arm}: {word}. {fresh[0].upper()}{fresh[1:]}.")
    weak = [each.prediction.arm for each in checks if each.agrees and each.prediction.if_zero > 0.5]
    if weak:
        lines.append(f"Agreement says little for {listing(weak)}: no effect at all would mostly agree too.")
    return lines
