"""The pages' section on the target."""

from collections.abc import Sequence

from coregpt.report.designs.target.charts import race_chart
from coregpt.report.drawing.curve_charts import AXES
from coregpt.report.drawing.markup import Section, details, paragraph, table_html
from coregpt.report.drawing.numbers import DASH, duration, fixed, p_value, si
from coregpt.report.drawing.tables import Table
from coregpt.report.facts.model import Report
from coregpt.report.facts.target import Arrival, Race, TargetClaim
from coregpt.stats.target import SPEEDRUN_SCORE, SPEEDRUN_SIGMA

TITLE = "The target"


def target_words(report: Report) -> str:
    """How the target was tested and what the numbers are not."""
    found = report.targets
    assert found is not None
    return (
        f"Target: {report.study.metric} {found.target:g}. Each arm by itself, whatever the baseline does: one-sided "
        f"t-test that its mean lies below the target, at {found.level:g}, with the runs' own spread, not corrected for "
        "the number of arms. The earliest step is found by testing the evaluated steps from the last backwards until "
        f"one fails. Beside it, for comparison only, the speedrun's rule: (target − mean) × √n of at least "
        f"{SPEEDRUN_SCORE:g}, which takes a standard deviation of {SPEEDRUN_SIGMA:g} for granted. A diverged run "
        "reaches nothing. No verdict follows from anything in this section."
    )


def race_words(report: Report) -> str:
    """How first crossings were compared."""
    pairs = "paired by seed" if report.study.paired else "unpaired"
    return (
        "First crossing of each run, linear between evaluations; a run that does not get there is censored at its end, "
        f"and one that diverged never gets there. Saved: baseline minus arm, {pairs}, times cut where a run "
        "ended that had not got there; a dash where before that no run of one of them had. "
        "Speed-up: baseline over arm, from logarithms, only where every run of both got there. Intervals are 95%."
    )


def claims_table(report: Report) -> Table:
    """Claims, the earliest first, then what is not claimed."""
    found = report.targets
    assert found is not None
    head = ("arm", "runs", "mean", "sd", "p below target", "claimed", "from step", "speedrun's rule", "its p")
    rows = [_claim_row(claim) for claim in ranked(found.claims)]
    return Table(f"Is the mean {report.study.metric} below {found.target:g}?", head, rows)


def ranked(claims: Sequence[TargetClaim]) -> list[TargetClaim]:
    """Claims by their earliest step, arms without one at the end."""
    return sorted(claims, key=lambda claim: (claim.earliest_step is None, claim.earliest_step or 0))


def _claim_row(claim: TargetClaim) -> tuple[str, ...]:
    if claim.cause:
        return (claim.arm, str(claim.n), DASH, DASH, DASH, f"no: {claim.cause}", DASH, DASH, DASH)
    return (
        claim.arm,
        str(claim.n),
        fixed(claim.mean, 4),
        fixed(claim.sd, 4),
        p_value(claim.p),
        "yes" if claim.claimed else "no",
        DASH if claim.earliest_step is None else f"{claim.earliest_step:,}",
        f"{'yes' if claim.fixed_sigma_claims else 'no'} ({fixed(claim.fixed_sigma_score, 4)})",
        p_value(claim.fixed_sigma_p),
    )


def races(report: Report) -> list[Race]:
    """Every axis on which the runs could be followed, the measured one last."""
    counted = list(report.targets.races) if report.targets else []
    return counted + ([report.timing.to_target] if report.timing.to_target else [])


def race_table(report: Report, race: Race) -> Table:
    """First crossings on one axis."""
    head = (
        "arm",
        "got there",
        "mean",
        "95% interval",
        "cut at",
        "mean, cut",
        "saved",
        "95% interval",
        "p",
        "p log-rank",
    )
    rows = [(*_race_row(race, a), _ratio(a)) for a in race.arrivals]
    return Table(f"{AXES[race.axis]} to {report.study.target:g}", (*head, "speed-up"), rows)


def _race_row(race: Race, a: Arrival) -> tuple[str, ...]:
    if a.cause:
        return (a.arm, a.cause, *[DASH] * 8)
    return (
        a.arm,
        f"{a.reached}/{a.runs}",
        _shown(race, a.mean),
        _between(race, a.mean_interval),
        _shown(race, a.horizon),
        _shown(race, a.restricted_mean),
        _shown(race, a.saved),
        _between(race, a.saved_interval),
        p_value(a.p_saved),
        p_value(a.p_log_rank),
    )


def _ratio(a: Arrival) -> str:
    if a.ratio is None or a.ratio_interval is None:
        return a.no_ratio or DASH
    return f"×{a.ratio:.3f} ({a.ratio_interval[0]:.3f} to {a.ratio_interval[1]:.3f})"


def _shown(race: Race, value: float | None) -> str:
    if value is None:
        return DASH
    if race.axis == "steps":
        return fixed(value, 0)
    sign = "−" if value < 0 else ""
    return sign + (duration(abs(value)) if race.axis == "seconds" else si(abs(value)))


def _between(race: Race, pair: tuple[float, float] | None) -> str:
    return DASH if pair is None else f"{_shown(race, pair[0])} to {_shown(race, pair[1])}"


def target_section(report: Report) -> Section:
    """For a study with a target; charts stand on the HTML page only."""
    followed = races(report)
    tables = [race_table(report, race) for race in followed]
    spoken = [race_words(report)] if followed else []
    html = paragraph(target_words(report)) + table_html(claims_table(report))
    if followed:
        folded = [
            details(f"{AXES[race.axis]} as a table", table_html(table))
            for race, table in zip(followed, tables, strict=True)
        ]
        html += paragraph(race_words(report)) + _switched(report, followed) + "".join(folded)
    return Section(TITLE, (target_words(report), claims_table(report), *spoken, *tables), html)


def _switched(report: Report, followed: Sequence[Race]) -> str:
    """The charts, one of them in sight, picked by radio buttons without any script."""
    if len(followed) == 1:
        return f'<div class="wide">{race_chart(report, followed[0])}</div>'
    radios = "".join(
        f'<input class="radio" type="radio" name="race" id="race-{r.axis}" aria-label="{AXES[r.axis]} on the x-axis"'
        + (" checked>" if r is followed[0] else ">")
        for r in followed
    )
    labels = "".join(f'<label for="race-{r.axis}">{AXES[r.axis]}</label>' for r in followed)
    panels = "".join(f'<div class="panel axis-{r.axis}">{race_chart(report, r)}</div>' for r in followed)
    return f'<div>{radios}<div class="switch">{labels}</div><div class="panels wide">{panels}</div></div>'
