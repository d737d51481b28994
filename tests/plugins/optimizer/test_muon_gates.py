import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.optimizer.slow import slow_polar

PLUGINS = {"muon": {"lr": 0.02, "polar": "ns12"}, "sparse_attn_gate": {}, "moe": {}, "smear": {}}


def moved_by(run, path):
    return next((stack, stack.paths.index(path)) for stack in run.optimizer.stacks if path in stack.paths)


GATE, ROUTER = "blocks.1.attention.attend.sparse_attn_gate.gate.weight", "blocks.1.mlp.router.weight"


@pytest.mark.parametrize(("of", "moved"), [(["attention", "mlp"], {GATE, ROUTER}), (["mlp"], {ROUTER})])
def test_gates_of_these_branches_are_matrices_at_a_rate_of_their_own(build, of, moved):
    run, plain = build(muon_gates={"of": of, "lr": 0.25}, **PLUGINS), build(**PLUGINS)
    for path in (GATE, ROUTER, "embedding.smear.gate.weight"):
        (stack, place), (before, old) = moved_by(run, path), moved_by(plain, path)
        assert stack.group.role == ("matrix" if path in moved else "gate")
        assert float(stack.lr[place]) == pytest.approx(0.25 * 0.02 if path in moved else float(before.lr[old]))
        assert torch.equal(run.assembly.params[path], plain.assembly.params[path])


def test_a_step_is_the_polar_factor_of_the_gradient(build):
    run = build(muon_gates={}, **PLUGINS)
    start = run.assembly.params[GATE].detach().double()
    g = torch.randn(start.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    stack, place = moved_by(run, GATE)
    stack.grad[place] = g.float()
    run.optimizer.step(1.0, run.dials.values)
    wanted = start - 0.1 * 0.02 * max(1.0, g.shape[0] / g.shape[1]) ** 0.5 * slow_polar(g)
    torch.testing.assert_close(run.assembly.params[GATE].detach().double(), wanted, rtol=1e-3, atol=1e-6)


def test_it_needs_muon(build):
    with pytest.raises(PluginError, match="muon"):
        build(muon_gates={})
