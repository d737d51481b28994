import math

import pytest
import torch
from coregpt_plugins._shared.around_polar import AroundPolar

from coregpt.contract.errors import PluginError
from tests.plugins.optimizer.slow import (
    NS12,
    along,
    at,
    directions,
    length,
    random,
    rule_of,
    slow_largest,
    slow_muon,
    slow_polar,
)

DIAL = "contra_muon.kappa"


def rule(build, shape=(6, 4), **options):
    return rule_of(build, shape, muon={"polar": "ns12"}, contra_muon=options)


@pytest.mark.parametrize(("largest", "slow"), [("power", slow_largest), ("schatten", None)])
@pytest.mark.parametrize("shape", [(6, 4), (3, 5)])
def test_four_steps_equal_the_definition(build, shape, largest, slow):
    gradients = [random(1, *shape, seed=seed) for seed in range(4)]
    kappas = [0.3, 0.2, 0.1, 0.0]
    got, _ = directions(rule(build, shape, largest=largest), gradients, **{DIAL: kappas})
    for u, kappa, update in zip(slow_muon([g[0] for g in gradients]), kappas, got, strict=True):
        plain = slow_polar(u)
        size = slow(u) if slow else sum(s**4 for s in torch.linalg.svdvals(u).tolist()) ** 0.25
        other = plain - kappa * u / size
        wanted = other * length(plain) / length(other) * math.sqrt(max(1, shape[0] / shape[1]))
        torch.testing.assert_close(update[0], wanted, rtol=1e-8, atol=1e-8)


def test_a_diagonal_matrix_loses_in_proportion(build):
    s = torch.tensor([1.0, 0.6, 0.2], dtype=torch.float64)
    got = rule(build, (3, 3)).direction(torch.zeros(1, 3, 3), *first(build, s))[0]
    wanted = torch.tensor([along(NS12, x / 1.4**0.5) for x in s.tolist()]).double() - 0.2 * s
    torch.testing.assert_close(got.diag() / got.diag()[0], wanted / wanted[0], rtol=1e-3, atol=0)


def first(build, s):
    g = torch.diag(s).unsqueeze(0)
    return g, {"m": torch.zeros_like(g)}, at(1, **{DIAL: torch.tensor(0.2)})


def test_kappa_falls_to_nothing(build):
    run = build(muon={}, contra_muon={"kappa": 0.4, "until": 0.5}, config={"tokens": 8 * 96})
    seen = []
    for step in range(8):
        run.dials.set(run.timeline.clock(step))
        seen.append(float(run.dials.values[DIAL]))
    assert seen == pytest.approx([0.4, 0.3, 0.2, 0.1, 0, 0, 0, 0])


def test_it_finds_muon_inside_of_what_is_around_it(build):
    """Techniques around the polar factor stand in the order of their names wherever NorMuon is."""
    rule = rule_of(build, muon={}, normuon={}, contra_muon={}, soft_muon={}, update_smoothing={})
    names = []
    while rule is not None:
        names.append(type(rule).__name__)
        rule = getattr(rule, "inner", None)
    assert sorted(names) == ["Contra", "Normalised", "Orthogonal", "Smoothed", "Soft"]
    assert names[-1] == "Orthogonal"


def test_without_muon_it_is_refused(build):
    with pytest.raises(PluginError, match="muon"):
        build(contra_muon={})


def test_what_goes_around_the_polar_factor_says_what_takes_its_place(build):
    class Silent(AroundPolar):
        pass

    with pytest.raises(TypeError, match="polar"):
        Silent(rule_of(build, muon={}))
