"""The report as one self-contained page: no network, no script, readable on a phone, on paper and by screen readers."""

from html import escape

from coregpt.report import tables
from coregpt.report.charts import SYMBOLS, forest, paired_dots
from coregpt.report.curve_charts import AXES, HIDDEN_SHARE, ArmCurves, arm_curves, curve_axes, gap_curves, learning_curves
from coregpt.report.model import Comparison, Report
from coregpt.report.numbers import fixed, plural, relative
from coregpt.report.tables import Table
from coregpt.report.theme import CHART_CSS, PAGE_CSS, colour_tokens, series_rules, switch_rules


def render_html(report: Report) -> str:
    """The whole page as text."""
    curves = arm_curves(report)
    axes = curve_axes(curves)
    arms = len(report.study.arms)
    style = colour_tokens() + series_rules(arms) + ".base{--c:var(--c0)}" + CHART_CSS + PAGE_CSS + switch_rules(axes, arms)
    body = [
        _top(report),
        _forest_section(report),
        _curve_section(report, curves, axes),
        _gap_section(report, curves),
        _pairs_section(report),
        _section("The numbers", _table(tables.results(report)) + _p(tables.results_note(report)) + _details("Second opinions", _table(tables.checks(report)))),
        _section("What it costs", _table(tables.costs(report)) + _p("Time per token is relative to the baseline run of the same seed and holds for this machine only.")),
        _section("Every run", _table(tables.runs(report))),
        _fairness_section(report),
        _method_section(report),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(report.study.name)}: {escape(report.headline)}</title><style>{style}</style></head>\n<body>\n"
        + "\n".join(part for part in body if part)
        + "\n</body></html>\n"
    )


def _top(report: Report) -> str:
    study = report.study
    facts = [f"CoreGPT study {study.name}", plural(len(study.arms), "arm"), plural(len(study.seeds), "seed")]
    if study.scale:
        facts.append(f"scale {study.scale}")
    cards = "".join(_card(report, c) for c in report.comparisons)
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    return (
        f'<header><p class="eyebrow">{escape(" · ".join(facts))}</p><h1>{escape(study.question)}</h1>'
        f'<p class="lead">{escape(report.headline)}</p></header>\n<main>\n<ul class="verdicts">{cards}</ul>'
        + (_section("Read this with it", f'<ul class="notes">{notes}</ul>') if notes else "")
    )


def _card(report: Report, c: Comparison) -> str:
    prefix = "exploratory: " if report.study.exploratory else ""
    size = f" <span class=\"soft\">({c.size})</span>" if c.size else ""
    return (
        f'<li class="verdict {c.verdict}"><h2><span>{escape(c.arm)}</span>'
        f'<span class="word"><span aria-hidden="true">{SYMBOLS[c.verdict]}</span> {prefix}{c.verdict}{size}</span></h2>'
        f'<p>{escape(c.sentence)}</p><p class="cost">{escape(_cost(report, c.arm))}</p></li>'
    )


def _cost(report: Report, arm: str) -> str:
    """Parameters, FLOPs and time against the baseline: a gain that costs more is said to cost more."""
    facts = {a.name: a for a in report.study.arms}
    mine, base = facts[arm], facts[report.study.baseline]
    parts = [
        f"parameters {relative(mine.parameters, base.parameters)}",
        f"FLOPs per token {relative(mine.flops_per_token, base.flops_per_token)}",
    ]
    ratio = next(t.time_ratio for t in report.timing.arms if t.arm == arm)
    if ratio is not None:
        parts.append(f"time per token ×{ratio:.2f} (measured)")
    return "Cost against the baseline: " + ", ".join(parts) + "."


def _forest_section(report: Report) -> str:
    text = (
        f"Gain over {report.study.baseline} in {report.study.metric} ({report.study.unit}). The thick bar is the 95% interval of one arm; "
        f"the thin one holds for all arms at once at {100 * (1 - report.study.alpha):g}%. Inside the shaded band a difference is too "
        f"small to matter (±{report.study.margin:g}, declared beforehand)."
    )
    return _section("How much", _p(text) + f'<div class="wide">{forest(report)}</div>' + _details("The same as a table", _table(tables.results(report))))


def _curve_section(report: Report, curves: list[ArmCurves], axes: list[str]) -> str:
    if not axes:
        return ""
    drawn = [arm for arm in curves if arm.band is not None]
    radios = "".join(
        f'<input class="radio" type="radio" name="axis" id="axis-{a}" aria-label="{AXES[a]} on the x-axis"{" checked" if a == "steps" else ""}>'
        for a in axes
    )
    labels = "".join(f'<label for="axis-{a}">{AXES[a]}</label>' for a in axes)
    boxes = "".join(
        f'<label class="s{arm.index}"><input type="checkbox" id="arm-{arm.index}" checked>{escape(arm.arm)}</label>' for arm in drawn
    )
    panels = "".join(f'<div class="panel axis-{a}">{learning_curves(report, curves, a)}</div>' for a in axes)
    text = (
        f"Line: mean of finished seeds. Band: from the lowest to the highest of them. Thin lines: single seeds, × where one diverged. "
        f"The y-axis is zoomed: it leaves out the fall during the first {HIDDEN_SHARE:.0%} of training."
    )
    inner = (
        f'{_p(text)}<div class="curves">{radios}<div class="switch">{labels}</div>'
        f'<fieldset class="legend" aria-label="arms shown">{boxes}</fieldset><div class="panels wide">{panels}</div></div>'
    )
    return _section("Learning curves", inner + _details("The same as a table", _table(tables.checkpoints(report, curves))))


def _gap_section(report: Report, curves: list[ArmCurves]) -> str:
    picture = gap_curves(report, curves)
    if picture is None:
        return ""
    text = (
        f"Gain over {report.study.baseline}, seed by seed, at each step: above zero the arm is ahead. The band is a 95% interval at each step by "
        "itself; only the last step was planned to be tested."
    )
    return _section("The gap along the way", _p(text) + f'<div class="wide">{picture}</div>' + _details("Final values as a table", _table(tables.seed_pairs(report))))


def _pairs_section(report: Report) -> str:
    pictures = paired_dots(report)
    if not pictures:
        return ""
    index = {arm.name: i for i, arm in enumerate(report.study.arms)}
    figures = "".join(
        f'<figure class="s{index[arm]}"><figcaption>{escape(arm)}</figcaption>{picture}</figure>' for arm, picture in pictures
    )
    text = "One line per seed. Coloured lines fall: the arm ended lower. Grey dashed lines rise: it ended higher."
    return _section("Seed by seed", _p(text) + f'<div class="small">{figures}</div>' + _details("The same as a table", _table(tables.seed_pairs(report))))


def _fairness_section(report: Report) -> str:
    what_else = _table(tables.confounds(report)) if report.study.confounds else _p("Nothing else was found to differ between the arms.")
    return (
        _section("What each arm changes", _table(tables.arms(report)))
        + _section("What else differs", what_else)
        + _section("Data", _table(tables.data(report)))
    )


def _method_section(report: Report) -> str:
    study, design = report.study, report.design
    text = f"Test: {design.name}. Why: {design.reason}. It was chosen from the number of seeds and arms, before any result."
    planned = ""
    if report.planned_detectable is not None:
        planned = _p(
            f"Planned to detect {fixed(report.planned_detectable, 4)} {study.unit} with {study.power:.0%} probability, "
            f"assuming a standard deviation of {study.assumed_sd:g} between paired runs."
        )
    rules = f"alpha {study.alpha:g} two-sided, margin ±{study.margin:g} {study.unit}, power {study.power:g}, seeds {', '.join(map(str, study.seeds))}."
    command = f"<pre><code>{escape(study.command)}</code></pre>" if study.command else ""
    return (
        _section("How it was decided", _p(text) + _p(f"Fixed beforehand: {rules}") + planned + f"<p>Preregistration digest <code>{escape(study.digest)}</code></p>")
        + _section("Environment", _table(tables.environment(report)))
        + _section("Reproduce", _p("Run the study again, or rebuild this page from report.json alone with coregpt report.") + command)
        + "</main>"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>"


def _details(title: str, content: str) -> str:
    return f"<details><summary>{escape(title)}</summary>{content}</details>"


def _p(words: str) -> str:
    return f'<p class="soft">{escape(words, quote=False)}</p>'


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.head)
    rows = "".join(
        ('<tr class="bad">' if i in table.bad else "<tr>") + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
        for i, row in enumerate(table.rows)
    )
    kind = ' class="words"' if table.words else ""
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(table.title)}"><table{kind}><caption>{escape(table.title)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )
