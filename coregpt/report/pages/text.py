"""The verdict for a terminal: about ten lines that can be read without opening the report."""

from coregpt.report.drawing.agreement import agreement
from coregpt.report.drawing.charts import SYMBOLS
from coregpt.report.drawing.numbers import decimals, p_phrase, plural, signed, span
from coregpt.report.drawing.units import with_unit
from coregpt.report.drawing.words import verdict_words
from coregpt.report.facts.model import Report
from coregpt.report.verdicts.wording import how_many


def verdict_lines(report: Report) -> list[str]:
    """Question, headline, one line per arm (a sentence if there is only one), notes and the digest."""
    study = report.study
    lines = [study.question, report.headline]
    if len(report.comparisons) == 1:
        lines.append(report.comparisons[0].sentence)
    else:
        lines += _arm_lines(report)
    budget = 3
    lines += [f"note: {note}" for note in report.notes[:budget]]
    if len(report.notes) > budget:
        lines.append(f"note: {plural(len(report.notes) - budget, 'more note')} in the report")
    rules = f"alpha {study.alpha:g}; margin {with_unit(f'±{study.margin:g}', study.unit)}"
    lines.append(f"{report.design.name}; {how_many(study)}; {rules}")
    lines.append(f"{'imported curves' if study.imported else 'preregistration'} {study.digest}")
    if report.published is not None:
        lines += agreement(report, report.published)
    return lines


def _arm_lines(report: Report) -> list[str]:
    digits = decimals(report.study, report.comparisons)
    width = max(len(c.arm) for c in report.comparisons)
    lines = []
    for c in report.comparisons:
        line = f"  {c.arm:<{width}}  {SYMBOLS[c.verdict]} {verdict_words(c):<12}"
        if c.interval:
            line += f"  {signed(c.gain, digits)}  [{span(c.interval, digits)}]  {p_phrase(c.p_adjusted)}"
        elif c.p_adjusted is not None and not c.cause:
            line += f"  by rank, {p_phrase(c.p_adjusted)}"
        elif c.cause:
            line += f"  {c.cause}"
        lines.append(line.rstrip())
    return lines
