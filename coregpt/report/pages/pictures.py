"""Sections that are charts. Each has the same as a table folded away; Markdown links to the learning curves only."""

from html import escape

from coregpt.report.drawing import tables
from coregpt.report.drawing.charts import forest, paired_dots, shows_one_interval
from coregpt.report.drawing.curve_charts import AXES, HIDDEN_SHARE, ArmCurves, gap_curves, learning_curves
from coregpt.report.drawing.markup import Picture, Section, details, paragraph, table_html, wide
from coregpt.report.drawing.units import labelled
from coregpt.report.facts.model import Report


def forest_section(report: Report) -> Section | None:
    """Gains with their intervals; None where no arm is compared with the baseline."""
    if all(c.arm in report.study.incomparable for c in report.comparisons):
        return None
    level = f"{100 * (1 - report.study.alpha):g}%"
    bars = (
        "The bar is the 95% interval."
        if shows_one_interval(report)
        else f"Thick bar: 95% interval of one arm. Thin whiskers: {level} interval that holds for all arms at once."
    )
    chosen = "set at import" if report.study.imported else "declared beforehand"
    text = (
        f"Gain over {report.study.baseline} in {labelled(report.study.metric, report.study.unit)}. {bars} Inside "
        f"the shaded band a difference is too small to matter (±{report.study.margin:g}, {chosen})."
    )
    drawing = forest(report)
    said = f"Gain of each arm over {report.study.baseline} with its interval, zero and the margin"
    return Section(
        "How much",
        (text, Picture("effect.svg", drawing, said)),
        html=paragraph(text) + wide(drawing) + details("The same as a table", table_html(tables.results(report))),
    )


def curve_section(report: Report, curves: list[ArmCurves], axes: list[str], picture: str) -> Section | None:
    """One chart per axis, picked without any script; `picture` is the path of the drawing that Markdown links to."""
    if not axes:
        return None
    drawn = [arm for arm in curves if arm.band is not None]
    radios = "".join(
        f'<input class="radio" type="radio" name="axis" id="axis-{a}" aria-label="{AXES[a]} on the x-axis"'
        + (" checked>" if a == "steps" else ">")
        for a in axes
    )
    labels = "".join(f'<label for="axis-{a}">{AXES[a]}</label>' for a in axes)
    boxes = "".join(
        f'<label class="s{arm.index}"><input type="checkbox" id="arm-{arm.index}" checked>{escape(arm.arm)}</label>'
        for arm in drawn
    )
    panels = "".join(f'<div class="panel axis-{a}">{learning_curves(report, curves, a)}</div>' for a in axes)
    text = (
        "Line: mean of finished seeds. Band: from the lowest to the highest of them. Thin lines: single seeds, "
        f"× where one diverged. The y-axis is zoomed: it leaves out the fall during the first {HIDDEN_SHARE:.0%}."
        f"{_seen(report)}"
    )
    inner = (
        f'{paragraph(text)}<div class="curves">{radios}<div class="switch">{labels}</div>'
        f'<fieldset class="legend" aria-label="arms shown">{boxes}</fieldset>'
        f'<div class="panels wide">{panels}</div></div>'
    )
    return Section(
        "Learning curves",
        html=inner + details("The same as a table", table_html(tables.checkpoints(report, curves))),
        markdown=f"![Mean learning curves with seed bands; y-axis zoomed]({picture})",
    )


def _seen(report: Report) -> str:
    """What the curves are of, where that is not what the verdict read."""
    study = report.study
    if study.curves is None or study.curves == study.reads:
        return ""
    return (
        f" The curves are of tokens that nothing is judged by ({study.curve_metric}); the verdict read {study.metric}."
    )


def _tested(report: Report) -> str:
    study = report.study
    if study.curves != study.reads:
        return f"none of it was tested: the verdict read {study.metric} after the last step"
    return "only the last step was planned to be tested"


def gap_section(report: Report, curves: list[ArmCurves]) -> Section | None:
    """None without runs to pair."""
    picture = gap_curves(report, curves)
    if picture is None:
        return None
    text = (
        f"Gain over {report.study.baseline}, seed by seed, at each step: above zero the arm is ahead. "
        f"The band is a 95% interval at each step by itself; {_tested(report)}."
    )
    return Section(
        "The gap along the way",
        html=paragraph(text)
        + wide(picture)
        + details("Final values as a table", table_html(tables.seed_pairs(report))),
    )


def pairs_section(report: Report) -> Section | None:
    """None for runs that are not paired."""
    pictures = paired_dots(report)
    if not pictures:
        return None
    index = {arm.name: i for i, arm in enumerate(report.study.arms)}
    figures = "".join(
        f'<figure class="s{index[arm]}"><figcaption>{escape(arm)}</figcaption>{picture}</figure>'
        for arm, picture in pictures
    )
    text = "One line per seed. Coloured lines fall: the arm ended lower. Grey dashed lines rise: it ended higher."
    return Section(
        "Seed by seed",
        html=paragraph(text)
        + f'<div class="small">{figures}</div>'
        + details("The same as a table", table_html(tables.seed_pairs(report))),
    )
