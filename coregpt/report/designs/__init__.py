"""What each design of a study adds to the report, one folder each, and the list of them."""

from coregpt.report.designs.abort.design import Abort
from coregpt.report.designs.bracket.design import Bracket
from coregpt.report.designs.chain.design import Chain
from coregpt.report.designs.command.design import Command
from coregpt.report.designs.design import ReportDesign
from coregpt.report.designs.evaluate.design import Evaluate
from coregpt.report.designs.factorial.design import Factorial
from coregpt.report.designs.fork.design import Fork
from coregpt.report.designs.give_up.design import GiveUp
from coregpt.report.designs.history.design import History
from coregpt.report.designs.looks.design import Looks
from coregpt.report.designs.match.design import Match
from coregpt.report.designs.placebo.design import Placebo
from coregpt.report.designs.short_baseline.design import ShortBaseline
from coregpt.report.designs.target.design import Target
from coregpt.report.designs.tuning.design import Tuning

DESIGNS: tuple[ReportDesign, ...] = (
    Command(),
    Factorial(),
    Fork(),
    Tuning(),
    Bracket(),
    Match(),
    History(),
    Looks(),
    Abort(),
    GiveUp(),
    Target(),
    ShortBaseline(),
    Evaluate(),
    Chain(),
    Placebo(),
)
"""Every design that adds something, in the order in which notes and sections of the pages stand."""
