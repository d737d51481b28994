"""A study's report as one page: question and verdicts first, then the sections.

Its only script adds the copy buttons; without it nothing is missing.
"""

from html import escape

from coregpt.report.drawing.charts import SYMBOLS
from coregpt.report.drawing.curve_charts import arm_curves, curve_axes
from coregpt.report.drawing.markup import line_markdown
from coregpt.report.drawing.numbers import plural, relative
from coregpt.report.drawing.page import Page
from coregpt.report.drawing.theme import switch_rules
from coregpt.report.drawing.words import full_words
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.pages.paste import COPY_SCRIPT
from coregpt.report.pages.sections import sections
from coregpt.report.verdicts.wording import how_many


def report_page(report: Report, picture: str = "curves.svg") -> Page:
    """For both media; `picture` is the path of the learning curves, if there are any."""
    study, curves = report.study, arm_curves(report)
    facts = [f"CoreGPT study {study.name}", plural(len(study.arms), "arm"), how_many(study)]
    return Page(
        title=f"{study.name}: {report.headline}",
        eyebrow=" · ".join([*facts, *([f"scale {study.scale}"] if study.scale else [])]),
        heading=study.question,
        lead=report.headline,
        sections=sections(report, curves, picture),
        series=len(study.arms),
        top_html=f'<ul class="verdicts">{"".join(_card(report, c) for c in report.comparisons)}</ul>',
        top_markdown="\n".join(_item(report, c) for c in report.comparisons),
        chart_rules=".base{--c:var(--c0)}",
        switch_rules=switch_rules(curve_axes(curves), len(study.arms)),
        script=COPY_SCRIPT,
    )


def _item(report: Report, c: Comparison) -> str:
    said = f"{c.arm} {SYMBOLS[c.verdict]} {full_words(report.study, c)}{_size(c)}"
    return f"- **{line_markdown(said)}.** {line_markdown(c.sentence)}"


def _size(c: Comparison) -> str:
    """What the words of the verdict do not say already."""
    return f" ({c.size})" if c.size and not c.little else ""


def _card(report: Report, c: Comparison) -> str:
    size = f'<span class="soft">{_size(c)}</span>' if _size(c) else ""
    word = f'<span aria-hidden="true">{SYMBOLS[c.verdict]}</span> {escape(full_words(report.study, c))}{size}'
    tone = c.verdict.replace(" ", "-")
    cost = _cost(report, c.arm)
    paid = f'<p class="cost">{escape(cost)}</p>' if cost else ""
    return (
        f'<li class="verdict {tone}"><h2><span>{escape(c.arm)}</span><span class="word">{word}</span></h2>'
        f"<p>{escape(c.sentence)}</p>{paid}</li>"
    )


def _cost(report: Report, arm: str) -> str:
    """Parameters, FLOPs and time against the baseline: a gain that costs more is said to cost more. Of what a program
    does not tell its section speaks."""
    facts = {a.name: a for a in report.study.arms}
    mine, base = facts[arm], facts[report.study.baseline]
    sizes = {
        "parameters": (mine.parameters, base.parameters),
        "FLOPs per token": (mine.flops_per_token, base.flops_per_token),
    }
    if report.study.program is not None:
        sizes = {name: pair for name, pair in sizes.items() if None not in pair}
    parts = [f"{name} {'unknown' if None in pair else relative(*pair)}" for name, pair in sizes.items()]
    ratio = next(t.time_ratio for t in report.timing.arms if t.arm == arm)
    if ratio is not None:
        when = ", but not beside the baseline" if arm in report.timed_apart else ""
        parts.append(f"time per token ×{ratio:.2f} (measured{when})")
    return f"Cost against the baseline: {', '.join(parts)}." if parts else ""
