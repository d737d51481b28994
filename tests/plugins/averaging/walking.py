"""Weights that move at random, for tests of what is evaluated in their place."""

from contextlib import ExitStack

import torch

from coregpt.contract.rules import Clock


def weights(run):
    return {path: param.detach().double().clone() for path, param in run.assembly.params.items()}


def walk(run, steps):
    """Moves every weight at random, step after step, as training would; yields the weights in float64."""
    generator = torch.Generator().manual_seed(0)
    for step in range(steps):
        for param in run.assembly.params.values():
            param.data.add_(torch.randn(param.shape, generator=generator))
        for companion in run.companions:
            companion.after_update(Clock(step, steps))
        yield weights(run)


def evaluated(run):
    """The weights inside of an evaluation, and that the last ones come back to the bit."""
    last = weights(run)
    with ExitStack() as stack:
        for companion in run.companions:
            stack.enter_context(companion.evaluating())
        found = weights(run)
    assert all(torch.equal(value, last[path]) for path, value in weights(run).items())
    return found
