import pytest
import torch

from tests.plugins.optimizer.slow import at, random, rule_of


def test_the_level_rises_and_falls(build):
    run = build(langevin_noise={"sigma": 0.2, "rise": 2, "end": 6}, config={"tokens": 12 * 96})
    assert run.timeline.steps == 12
    seen = []
    for step in range(12):
        run.dials.set(run.timeline.clock(step))
        seen.append(float(run.dials.values["langevin_noise.sigma"]))
    assert seen == pytest.approx([0, 0.1, 0.2, 0.15, 0.1, 0.05, 0, 0, 0, 0, 0, 0])


def test_noise_has_the_standard_deviation_of_the_definition(build):
    shape = (40, 30)
    plain, noisy = (rule_of(build, shape, 8, muon={}, **more) for more in ({}, {"langevin_noise": {}}))
    g = random(8, *shape) * torch.linspace(0.1, 4, 40).double()[:, None]
    update = plain.direction(g, g, plain.init(g), at(1, 8))
    sigma = {"langevin_noise.sigma": torch.tensor(0.3)}
    added = noisy.direction(g, g, noisy.init(g), at(1, 8, **sigma)) - update
    sizes = update.square().mean(-1, keepdim=True).sqrt()
    unit = (added / (0.3 * sizes)).flatten()
    assert float(unit.std()) == pytest.approx(1, abs=0.02)
    assert float(unit.mean()) == pytest.approx(0, abs=0.03)
    assert float((unit.abs() < 1).double().mean()) == pytest.approx(0.6827, abs=0.02)


def test_numbers_change_with_step_and_matrix_and_not_with_the_rank_that_holds_it(build):
    rule = rule_of(build, (5, 4), 4, langevin_noise={})
    g = random(1, 5, 4).expand(4, 5, 4).clone()
    sigma = {"langevin_noise.sigma": torch.tensor(1.0)}
    one = rule.direction(g, g, rule.init(g), at(1, 4, **sigma))
    assert len({float(each.sum()) for each in one}) == 4
    part = {"step": 1, "rows": torch.tensor([2, 3]), **sigma}
    torch.testing.assert_close(rule.direction(g[2:], g[2:], rule.init(g[2:]), part), one[2:])
    assert not torch.equal(rule.direction(g, g, rule.init(g), at(2, 4, **sigma)), one)


def test_only_matrices_are_shaken(build):
    assert type(rule_of(build, role="embedding", langevin_noise={})).__name__ == "AdamW"
