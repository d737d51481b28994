"""Secondary outcomes, as a design of the report."""

from collections.abc import Iterator

from coregpt.report.designs.design import Fields, Known, ReportDesign
from coregpt.report.designs.evaluate.analysis import find_secondary
from coregpt.report.designs.evaluate.picture import in_books
from coregpt.report.designs.evaluate.section import TITLE, table, warning, words
from coregpt.report.drawing.markup import Items, Section
from coregpt.report.facts.model import Report


class Evaluate(ReportDesign):
    """A section of their own; no verdict, no note on a verdict and no word of the headline."""

    def analyse(self, known: Known) -> Fields:
        found = find_secondary(known)
        return {} if found is None else {"secondary": found}

    def sections(self, report: Report) -> Iterator[Section]:
        asked = report.study.evaluated
        if report.secondary is None or asked is None:
            return
        lacking = (Items(asked.lacking),) if asked.lacking else ()
        late = (warning(report),) if asked.known else ()
        rows = (table(report),) if report.secondary.results else ()
        yield Section(TITLE, (words(report), *late, *in_books(report), *rows, *lacking))
