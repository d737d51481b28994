"""The pages' section on tuning: every trial, what a smaller budget would have found, and how each option acts."""

import math

from coregpt.report.designs.tuning.charts import expected_best_chart, numeric_paths, response_chart
from coregpt.report.drawing.markup import Picture, Section, details, paragraph, table_html
from coregpt.report.drawing.numbers import duration, fixed, plural, si
from coregpt.report.drawing.standalone import Captioned, sheet
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.model import Report
from coregpt.report.facts.tuning import ArmTuning, settings_text, shown

TITLE = "How the settings were found"
CHOSEN = "← used"


def tuning_section(report: Report) -> Section:
    """For a study whose settings were found by trials."""
    assert report.tuning is not None
    tables = [spent_table(report), best_table(report), *(trials_table(report, each) for each in report.tuning.arms)]
    pictures = [expected_best_chart(report), *(response_chart(report, path) for path in numeric_paths(report))]
    shown_on_file = _picture(report, [each for each in pictures if each])
    drawn = "".join(f'<div class="wide">{picture}</div>' for picture in pictures)
    folded = details("The same as tables, with every trial", "".join(map(table_html, tables[1:])))
    return Section(
        TITLE,
        (words(report), READING, *shown_on_file, *tables),
        paragraph(words(report)) + table_html(tables[0]) + paragraph(READING) + drawn + folded,
    )


def _picture(report: Report, pictures: list[str]) -> list[Picture]:
    """All charts on one sheet; none where every trial diverged."""
    said = f"Mean {report.study.metric} of every trial by each option that was tuned"
    sheets = [Captioned("", each) for each in pictures]
    return [Picture("responses.svg", sheet(sheets, 1, said), said)] if pictures else []


READING = (
    "First chart: the lowest mean loss to be expected of k trials, from all of them; compare arms at equal k. Then one "
    "chart per option: each dot is a trial, the filled one was used, × marks a trial with a run that diverged."
)


def words(report: Report) -> str:
    """What was done, in short."""
    tuned = report.tuning
    assert tuned is not None
    trials, seeds = len(tuned.arms[0].trials), ", ".join(map(str, tuned.seeds))
    return (
        f"Every arm, the baseline too, had {trials} trials. Each ran with the same {plural(len(tuned.seeds), 'seed')} "
        f"({seeds}), none of which is a seed of the test. The trial with the lowest mean {report.trial_metric} gave "
        "the settings, which the ledger holds from before the test's first run. The number by which a trial was chosen "
        "is partly luck and is no result; only those of the test's fresh seeds are."
    )


def spent_table(report: Report) -> Table:
    """What tuning took, and what came of it."""
    assert report.tuning is not None
    rows = [
        (
            each.arm,
            str(len(each.trials)),
            f"{each.started} of {each.runs}",
            str(each.diverged),
            f"{si(each.flops)} FLOPs",
            duration(report.timing.tuning.get(each.arm)),
            settings_text(each.best),
        )
        for each in report.tuning.arms
    ]
    head = ("arm", "trials", "runs started of planned", "diverged trials", "spent", "training time", "used in the test")
    return Table("Tuning of each arm", head, rows)


def best_table(report: Report) -> Table:
    """Expected best of k trials, for equal k."""
    assert report.tuning is not None
    arms = report.tuning.arms
    rows = [
        (str(k), *(fixed(each.expected_best[k - 1], 4) for each in arms)) for k in range(1, len(arms[0].trials) + 1)
    ]
    return Table(f"Expected lowest mean {report.trial_metric} of k trials", ("k", *(each.arm for each in arms)), rows)


def trials_table(report: Report, arm: ArmTuning) -> Table:
    """Every trial of one arm."""
    assert report.tuning is not None
    rows = [
        (
            str(trial.number),
            *(shown(trial.settings[path]) for path in arm.space),
            *(fixed(value, 4) for value in trial.values),
            fixed(trial.mean, 4) + (f" {CHOSEN}" if trial.number == arm.chosen else ""),
        )
        for trial in arm.trials
    ]
    head = ("trial", *arm.space, *(f"seed {seed}" for seed in report.tuning.seeds), "mean")
    bad = frozenset(i for i, trial in enumerate(arm.trials) if not math.isfinite(trial.mean))
    return Table(f"Trials of {arm.arm}, final {report.trial_metric}, ∞ where a run diverged", head, rows, bad=bad)
