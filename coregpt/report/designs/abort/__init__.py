"""Studies that may leave arms unfinished: the decision at the pause again, from the losses there."""
