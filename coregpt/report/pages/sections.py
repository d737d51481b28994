"""The sections that only some studies have: what designs add, and what would decide an arm that is not decided."""

from coregpt.report.designs import DESIGNS
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.model import Report
from coregpt.report.pages.further import further_section


def sections(report: Report) -> list[Section]:
    """Those that this report has something to say in."""
    found = [section for design in DESIGNS for section in design.sections(report)]
    return [*found, *([further_section(report)] if any(c.more_runs for c in report.comparisons) else [])]
