"""What each design of a study adds to the report, one folder each, and the list of them."""

from coregpt.report.designs.design import ReportDesign

DESIGNS: tuple[ReportDesign, ...] = ()
"""Every design that adds something, in the order in which notes and sections of the pages stand."""
