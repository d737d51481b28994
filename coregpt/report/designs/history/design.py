"""A declared history of the noise, as a design of the report."""

from coregpt.report.designs.design import ReportDesign
from coregpt.report.designs.history.words import history_words
from coregpt.report.facts.inputs import StudyFacts
from coregpt.report.facts.model import Report
from coregpt.report.verdicts.basis import Basis, basis_of
from coregpt.stats.moderated import VariancePrior


class History(ReportDesign):
    """Few seeds borrow degrees of freedom from earlier reports."""

    def basis(self, study: StudyFacts, basis: Basis) -> Basis:
        found = study.prior
        return basis if found is None else basis_of(study, VariancePrior(found.df, found.variance, found.df))

    def method(self, report: Report) -> list[str]:
        return [] if report.study.prior is None else [history_words(report.study.prior)]
