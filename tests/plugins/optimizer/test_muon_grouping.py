import math

import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.optimizer.slow import length, slow_polar


def step(run, gradients):
    """One step of Muon with these gradients; what every matrix moved by, over the learning rate."""
    before = {path: p.detach().double().clone() for path, p in run.assembly.params.items()}
    for path, g in gradients.items():
        run.assembly.params[path].grad.copy_(g)
    run.optimizer.step(1.0, run.dials.values)
    return {path: (before[path] - run.assembly.params[path].detach().double()) / 0.02 for path in gradients}


@pytest.mark.parametrize(("heads", "of"), [(1, ["q", "k"]), (2, ["q"]), (1, ["v"])])
def test_every_slice_has_a_polar_factor_of_its_own(build, heads, of):
    muon = {"muon": {"polar": "ns12", "momentum": 0.0}}
    shape = {"heads": 4, "dim": 32}
    run = build(**muon, muon_grouping={"heads": heads, "of": of}, shape=shape, config={"optim": {"grad_clip": 0}})
    gradients = {
        path: torch.randn(p.shape, generator=torch.Generator().manual_seed(i))
        for i, (path, p) in enumerate(run.assembly.params.items())
        if path.startswith("blocks.2.")
    }
    for path, move in step(run, gradients).items():
        g = gradients[path].double()
        rows = heads * 8 if path.split(".")[-2] in of and "attention" in path else len(g)
        parts = [slow_polar(part) * math.sqrt(max(1, rows / g.shape[1])) for part in g.split(rows)]
        torch.testing.assert_close(move, torch.cat(parts), rtol=0, atol=2e-3, msg=path)
        assert length(parts[0]) > 0.5


def test_slices_that_do_not_fit_are_refused(build):
    with pytest.raises(PluginError, match="no multiple of 3 heads"):
        build(muon={}, muon_grouping={"heads": 3})
