"""The sections that only some studies have. A new one is one line here; both pages show it, in this order."""

from coregpt.report import fork_pages, matching, tables
from coregpt.report.factorial import EFFECTS_READING
from coregpt.report.markup import Section
from coregpt.report.model import Report
from coregpt.report.stopping_pages import stopping_sections
from coregpt.report.tuning_pages import tuning_section


def sections(report: Report) -> list[Section]:
    """Those that this report has something to say in."""
    found = [_effects(report), _fork(report), tuning_section(report), _seconds(report)]
    return [*(section for section in found if section is not None), *stopping_sections(report)]


def _effects(report: Report) -> Section | None:
    found = report.effects
    if found is None:
        return None
    table = f"None: {found.cause}." if found.cause else tables.effects(found, report.study.alpha)
    return Section("Effects", (EFFECTS_READING, table))


def _fork(report: Report) -> Section | None:
    if report.fork is None:
        return None
    return Section(fork_pages.TITLE, (fork_pages.words(report), *fork_pages.tables(report)))


def _seconds(report: Report) -> Section | None:
    if not report.timing.matched:
        return None
    return Section(matching.TITLE, (matching.seconds_reading(report), matching.seconds_table(report)))
