import math

import pytest
import torch

from tests.plugins.optimizer.slow import at, length, random, rule_of, slow_polar


def slow_aurora(u, passes, power):
    if u.shape[0] < u.shape[1]:
        return slow_aurora(u.T, passes, power).T
    rows, columns = u.shape
    scale, result = [1 / length(row) for row in u], u
    for turn in range(passes):
        if turn:
            scale = [
                d * ((columns / rows) / max(length(row) ** 2, 1e-16)) ** power
                for d, row in zip(scale, result, strict=True)
            ]
        result = slow_polar(torch.stack([d * row for d, row in zip(scale, u, strict=True)]))
    return result


def once(build, g, **options):
    rule = rule_of(build, tuple(g.shape), muon={"polar": "ns12", "momentum": 0}, aurora=options)
    return rule.direction(g[None], g[None], rule.init(g[None]), at(1))[0]


@pytest.mark.parametrize(("passes", "power"), [(1, 0.5), (2, 0.5), (3, 0.25)])
@pytest.mark.parametrize("shape", [(8, 3), (3, 8)])
def test_one_step_equals_the_definition(build, shape, passes, power):
    g = random(*shape)
    wanted = slow_aurora(g, passes, power) * math.sqrt(max(1, shape[0] / shape[1]))
    torch.testing.assert_close(once(build, g, passes=passes, power=power), wanted, rtol=1e-7, atol=1e-7)


def test_square_matrices_and_those_left_out_are_muon_s(build):
    for shape, options in (((4, 4), {}), ((8, 3), {"wide_only": True})):
        g = random(*shape)
        wanted = slow_polar(g) * math.sqrt(max(1, shape[0] / shape[1]))
        torch.testing.assert_close(once(build, g, **options), wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(("passes", "power", "spread"), [(1, 0.5, 0.06), (2, 0.5, 0.03), (3, 0.25, 0.03)])
def test_rows_come_out_even(build, passes, power, spread):
    """The spread of squared rows falls from about 0.3 to a tenth of that and less."""
    g = random(96, 32) * torch.exp(random(96, 1, seed=1))

    def unevenness(x):
        return float(x.square().sum(1).std())

    assert unevenness(slow_polar(g)) > 0.2
    assert unevenness(once(build, g, passes=passes, power=power) / math.sqrt(3)) < spread


def test_zeros_stay_zeros(build):
    assert not once(build, torch.zeros(8, 3)).any()
