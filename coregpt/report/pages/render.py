"""Report -> files as text. Pure and byte-deterministic: the pages are made from the JSON and nothing else."""

from coregpt.report.drawing.curve_charts import arm_curves, curve_axes, learning_curves
from coregpt.report.drawing.markup import Picture
from coregpt.report.drawing.page import html, markdown
from coregpt.report.drawing.standalone import standalone
from coregpt.report.facts.gathering import nothing_is_garbage
from coregpt.report.facts.model import Report
from coregpt.report.facts.serialise import from_json, to_json
from coregpt.report.pages.report import report_page
from coregpt.report.pages.verdict_file import verdict_json


@nothing_is_garbage()
def render(report: Report) -> dict[str, str]:
    """File name -> content: report.html, .md and .json, verdict.json, and the drawings that the Markdown page links."""
    text = to_json(report)
    report = from_json(text)  # what the JSON cannot say, no page may show
    picture, page = render_curves(report), report_page(report)
    files = {
        "report.html": html(page),
        "report.md": markdown(page),
        "report.json": text,
        "verdict.json": verdict_json(report),
    }
    drawn = {
        block.file: standalone(block.drawing, len(report.study.arms))
        for section in page.sections
        for block in section.content
        if isinstance(block, Picture)
    }
    return files | drawn | ({"curves.svg": picture} if picture else {})


def render_curves(report: Report) -> str | None:
    """The learning curves over steps as a stand-alone picture; None if no run has a curve."""
    arms = arm_curves(report)
    if "steps" not in curve_axes(arms):
        return None
    return standalone(learning_curves(report, arms, "steps"), len(report.study.arms))
