"""The sections that only some studies have. A new one is one line here; both pages show it, in this order."""

from coregpt.report.designs import DESIGNS
from coregpt.report.designs.abort.design import Abort
from coregpt.report.designs.factorial.analysis import EFFECTS_READING
from coregpt.report.designs.fork.design import Fork
from coregpt.report.designs.looks.design import Looks
from coregpt.report.designs.match.design import Match
from coregpt.report.designs.tuning.design import Tuning
from coregpt.report.drawing import tables
from coregpt.report.drawing.markup import Section
from coregpt.report.facts.model import Report
from coregpt.report.pages.further import further_section


def sections(report: Report) -> list[Section]:
    """Those that this report has something to say in."""
    found = [_effects(report)]
    return [
        *(section for section in found if section is not None),
        *Fork().sections(report),
        *Tuning().sections(report),
        *Match().sections(report),
        *Looks().sections(report),
        *Abort().sections(report),
        *([further_section(report)] if any(c.more_runs for c in report.comparisons) else []),
        *(
            section
            for design in DESIGNS
            if not isinstance(design, Match | Fork | Tuning | Looks | Abort)
            for section in design.sections(report)
        ),
    ]


def _effects(report: Report) -> Section | None:
    found = report.effects
    if found is None:
        return None
    table = f"None: {found.cause}." if found.cause else tables.effects(found, report.study.alpha)
    return Section("Effects", (EFFECTS_READING, table))
