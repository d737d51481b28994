"""Study designs, one file each, by the name of its YAML key. A new one is a file, a line here, rows of combinations."""

from coregpt.lab.designs.abort import Abort
from coregpt.lab.designs.bits import Bits
from coregpt.lab.designs.bracket import Bracket
from coregpt.lab.designs.budget import Budget
from coregpt.lab.designs.chain import Chain
from coregpt.lab.designs.command import Command
from coregpt.lab.designs.design import Design
from coregpt.lab.designs.evaluate import Evaluate
from coregpt.lab.designs.fork import Fork
from coregpt.lab.designs.give_up import GiveUp
from coregpt.lab.designs.history import History
from coregpt.lab.designs.looks import Looks
from coregpt.lab.designs.match import Match
from coregpt.lab.designs.modes import Modes
from coregpt.lab.designs.screen import Screen
from coregpt.lab.designs.short_baseline import ShortBaseline
from coregpt.lab.designs.sizes import Sizes
from coregpt.lab.designs.target import Target
from coregpt.lab.designs.tuned import Tuned
from coregpt.lab.designs.tuning import Tuning

DESIGNS: tuple[Design, ...] = (
    Command(),
    Chain(),
    Modes(),
    Sizes(),
    History(),
    Screen(),
    Match(),
    Tuning(),
    Bracket(),
    Tuned(),
    ShortBaseline(),
    Target(),
    Fork(),
    Looks(),
    Abort(),
    GiveUp(),
    Budget(),
    Bits(),
    Evaluate(),
)
"""In the order in which they are asked: what changes arms comes before what looks at them."""
