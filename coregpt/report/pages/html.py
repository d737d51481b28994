"""The report as one self-contained page: no network, readable on a phone, on paper and by screen readers.

Its only script adds the copy buttons; without it nothing is missing.
"""

from dataclasses import replace
from html import escape

from coregpt.report.drawing import tables
from coregpt.report.drawing.charts import SYMBOLS, forest, paired_dots, shows_one_interval
from coregpt.report.drawing.curve_charts import (
    AXES,
    HIDDEN_SHARE,
    ArmCurves,
    arm_curves,
    curve_axes,
    gap_curves,
    learning_curves,
)
from coregpt.report.drawing.markup import details, paragraph, section, table_html
from coregpt.report.drawing.numbers import plural, relative
from coregpt.report.drawing.theme import CHART_CSS, PAGE_CSS, colour_tokens, series_rules, switch_rules
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.pages.method import digest_label, method
from coregpt.report.pages.paste import COPY_SCRIPT, paste_section
from coregpt.report.pages.sections import sections
from coregpt.report.verdicts.wording import how_many

_RUNS_IN_SIGHT = 24  # a longer list is folded away, except for runs that did not finish


def render_html(report: Report) -> str:
    """The whole page as text."""
    curves = arm_curves(report)
    axes = curve_axes(curves)
    arms = len(report.study.arms)
    style = (
        colour_tokens() + series_rules(arms) + ".base{--c:var(--c0)}" + CHART_CSS + PAGE_CSS + switch_rules(axes, arms)
    )
    body = [
        _top(report),
        *(part.as_html() for part in sections(report)),
        _forest_section(report),
        _curve_section(report, curves, axes),
        _gap_section(report, curves),
        _pairs_section(report),
        section(
            "The numbers",
            table_html(tables.results(report))
            + paragraph(tables.results_note(report))
            + details("Second opinions", table_html(tables.checks(report))),
        ),
        paste_section(report).as_html(),
        section(
            "What it costs",
            table_html(tables.costs(report))
            + paragraph(
                "Time per token is relative to the baseline run of the same seed and holds for this machine only."
            ),
        ),
        _runs_section(report),
        _fairness_section(report),
        _method_section(report),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(report.study.name)}: {escape(report.headline)}</title><style>{style}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + f"\n<script>{COPY_SCRIPT}</script></body></html>\n"
    )


def _top(report: Report) -> str:
    study = report.study
    facts = [f"CoreGPT study {study.name}", plural(len(study.arms), "arm"), how_many(study)]
    if study.scale:
        facts.append(f"scale {study.scale}")
    cards = "".join(_card(report, c) for c in report.comparisons)
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return (
        f'<header><p class="eyebrow">{escape(" · ".join(facts))}</p><h1>{escape(study.question)}</h1>'
        f'<p class="lead">{escape(report.headline)}</p></header>\n<main>\n<ul class="verdicts">{cards}</ul>'
        + (section("Worth knowing", f'<ul class="notes">{notes}</ul>') if notes else "")
    )


def _card(report: Report, c: Comparison) -> str:
    prefix = "exploratory: " if report.study.exploratory else ""
    size = f' <span class="soft">({c.size})</span>' if c.size else ""
    return (
        f'<li class="verdict {c.verdict}"><h2><span>{escape(c.arm)}</span>'
        f'<span class="word"><span aria-hidden="true">{SYMBOLS[c.verdict]}</span> {prefix}{c.verdict}{size}</span></h2>'
        f'<p>{escape(c.sentence)}</p><p class="cost">{escape(_cost(report, c.arm))}</p></li>'
    )


def _cost(report: Report, arm: str) -> str:
    """Parameters, FLOPs and time against the baseline: a gain that costs more is said to cost more."""
    facts = {a.name: a for a in report.study.arms}
    mine, base = facts[arm], facts[report.study.baseline]
    sizes = {
        "parameters": (mine.parameters, base.parameters),
        "FLOPs per token": (mine.flops_per_token, base.flops_per_token),
    }
    parts = [f"{name} {'unknown' if None in pair else relative(*pair)}" for name, pair in sizes.items()]
    ratio = next(t.time_ratio for t in report.timing.arms if t.arm == arm)
    if ratio is not None:
        parts.append(f"time per token ×{ratio:.2f} (measured)")
    return "Cost against the baseline: " + ", ".join(parts) + "."


def _forest_section(report: Report) -> str:
    if all(c.arm in report.study.incomparable for c in report.comparisons):
        return ""
    level = f"{100 * (1 - report.study.alpha):g}%"
    bars = (
        "The bar is the 95% interval."
        if shows_one_interval(report)
        else f"Thick bar: 95% interval of one arm. Thin whiskers: {level} interval that holds for all arms at once."
    )
    chosen = "set at import" if report.study.imported else "declared beforehand"
    text = (
        f"Gain over {report.study.baseline} in {report.study.metric} ({report.study.unit}). {bars} Inside "
        f"the shaded band a difference is too small to matter (±{report.study.margin:g}, {chosen})."
    )
    return section(
        "How much",
        paragraph(text)
        + f'<div class="wide">{forest(report)}</div>'
        + details("The same as a table", table_html(tables.results(report))),
    )


def _curve_section(report: Report, curves: list[ArmCurves], axes: list[str]) -> str:
    if not axes:
        return ""
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
    )
    inner = (
        f'{paragraph(text)}<div class="curves">{radios}<div class="switch">{labels}</div>'
        f'<fieldset class="legend" aria-label="arms shown">{boxes}</fieldset>'
        f'<div class="panels wide">{panels}</div></div>'
    )
    return section(
        "Learning curves", inner + details("The same as a table", table_html(tables.checkpoints(report, curves)))
    )


def _gap_section(report: Report, curves: list[ArmCurves]) -> str:
    picture = gap_curves(report, curves)
    if picture is None:
        return ""
    text = (
        f"Gain over {report.study.baseline}, seed by seed, at each step: above zero the arm is ahead. "
        "The band is a 95% interval at each step by itself; only the last step was planned to be tested."
    )
    return section(
        "The gap along the way",
        paragraph(text)
        + f'<div class="wide">{picture}</div>'
        + details("Final values as a table", table_html(tables.seed_pairs(report))),
    )


def _pairs_section(report: Report) -> str:
    pictures = paired_dots(report)
    if not pictures:
        return ""
    index = {arm.name: i for i, arm in enumerate(report.study.arms)}
    figures = "".join(
        f'<figure class="s{index[arm]}"><figcaption>{escape(arm)}</figcaption>{picture}</figure>'
        for arm, picture in pictures
    )
    text = "One line per seed. Coloured lines fall: the arm ended lower. Grey dashed lines rise: it ended higher."
    return section(
        "Seed by seed",
        paragraph(text)
        + f'<div class="small">{figures}</div>'
        + details("The same as a table", table_html(tables.seed_pairs(report))),
    )


def _runs_section(report: Report) -> str:
    table = tables.runs(report)
    if len(table.rows) <= _RUNS_IN_SIGHT:
        return section("Every run", table_html(table) + _left_out(report))
    bad = [row for i, row in enumerate(table.rows) if i in table.bad]
    known = (
        table_html(replace(table, title="Runs that did not finish", rows=bad))
        if bad
        else paragraph("All planned runs finished.")
    )
    return section("Every run", known + details(f"All {len(table.rows)} runs", table_html(table)) + _left_out(report))


def _left_out(report: Report) -> str:
    return table_html(tables.other_runs(report)) if report.study.other_runs else ""


def _fairness_section(report: Report) -> str:
    confounds = tables.confounds(report)
    what_else = (
        table_html(confounds) if confounds.rows else paragraph("Nothing else was found to differ between the arms.")
    )
    return (
        section("What each arm changes", table_html(tables.arms(report)))
        + section("What else differs", what_else)
        + section("Data", table_html(tables.data(report)))
    )


def _method_section(report: Report) -> str:
    study = report.study
    text = "".join(paragraph(words) for words in method(report))
    command = f"<pre><code>{escape(study.command)}</code></pre>" if study.command else ""
    again = "Run the study again, or rebuild this page from report.json alone with coregpt report."
    return (
        section("How it was decided", f"{text}<p>{digest_label(study)} <code>{escape(study.digest)}</code></p>")
        + section("Environment", table_html(tables.environment(report)))
        + section("Reproduce", paragraph(again) + command)
        + "</main>"
    )
