"""What a tracker such as MLflow is told of a whole study: numbers by name, tags, and a note in Markdown."""

from collections.abc import Iterator

from coregpt.report.drawing.markup import line_markdown, table_markdown
from coregpt.report.drawing.words import full_words
from coregpt.report.facts.model import Comparison, Report
from coregpt.report.pages.paste import table


def tracked_metrics(report: Report) -> dict[str, float]:
    """`gain/ARM`, its interval and p, and what the arm costs relative to the baseline; without what is not known."""
    return {name: value for c in report.comparisons for name, value in _of_arm(report, c) if value is not None}


def tracked_tags(report: Report) -> dict[str, str]:
    """The headline, and the verdict on each arm with all that its words depend on."""
    verdicts = {f"coregpt.verdict/{c.arm}": full_words(report.study, c) for c in report.comparisons}
    return {"coregpt.headline": report.headline, **verdicts}


def tracked_note(report: Report) -> str:
    """What a reader of the run's page sees first."""
    said = [f"**{line_markdown(report.headline)}**", *(line_markdown(c.sentence) for c in report.comparisons)]
    return "\n\n".join([*said, table_markdown(table(report))])


def _of_arm(report: Report, c: Comparison) -> Iterator[tuple[str, float | None]]:
    facts = {arm.name: arm for arm in report.study.arms}
    mine, base = facts[c.arm], facts[report.study.baseline]
    low, high = c.interval or (None, None)
    yield f"gain/{c.arm}", c.gain
    yield f"gain low95/{c.arm}", low
    yield f"gain high95/{c.arm}", high
    yield f"p adjusted/{c.arm}", c.p_adjusted
    yield f"parameters ratio/{c.arm}", _ratio(mine.parameters, base.parameters)
    yield f"FLOPs per token ratio/{c.arm}", _ratio(mine.flops_per_token, base.flops_per_token)
    yield f"time per token ratio/{c.arm}", next(t.time_ratio for t in report.timing.arms if t.arm == c.arm)


def _ratio(mine: float | None, base: float | None) -> float | None:
    return mine / base if mine is not None and base else None
