"""What designs collect for their facts, listed apart from `DESIGNS`: this needs the lab, and pages do not."""

from coregpt.report.designs.abort.collect import Abort
from coregpt.report.designs.bracket.collect import Bracket
from coregpt.report.designs.chain.collect import Chain
from coregpt.report.designs.command.collect import Command
from coregpt.report.designs.evaluate.collect import Evaluate
from coregpt.report.designs.factorial.collect import Factorial
from coregpt.report.designs.fork.collect import Fork
from coregpt.report.designs.give_up.collect import GiveUp
from coregpt.report.designs.history.collect import History
from coregpt.report.designs.looks.collect import Looks
from coregpt.report.designs.match.collect import Match
from coregpt.report.designs.placebo.collect import Placebo
from coregpt.report.designs.short_baseline.collect import ShortBaseline
from coregpt.report.designs.target.collect import Target
from coregpt.report.designs.tuning.collect import Tuning
from coregpt.report.reading.collector import Collector

COLLECTORS: tuple[Collector, ...] = (
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
