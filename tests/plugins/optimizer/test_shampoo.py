import math

import pytest
import torch
from scipy.linalg import fractional_matrix_power

from coregpt.contract.errors import ConfigError, PluginError
from tests.plugins.optimizer.slow import directions, length, random, rule_of, svd_map


def power_of(x, power, eps):
    """Of a symmetric matrix, by Schur's decomposition."""
    largest = float(torch.linalg.svdvals(x)[0])
    return torch.from_numpy(fractional_matrix_power((x + eps * largest * torch.eye(len(x))).numpy(), power))


def slow_shampoo(gradients, sides, every, graft, beta1=0.9, beta2=0.95, eps=1e-6):
    rows, columns = gradients[0].shape
    m = v = torch.zeros(rows, columns, dtype=torch.float64)
    left, right = (torch.zeros(n, n, dtype=torch.float64) for n in (rows, columns))
    found = []
    for step, g in enumerate(gradients, start=1):
        m, v = beta1 * m + (1 - beta1) * g, beta2 * v + (1 - beta2) * g**2
        left, right = beta2 * left + (1 - beta2) * g @ g.T, beta2 * right + (1 - beta2) * g.T @ g
        if (step - 1) % every == 0:
            power = -0.25 if sides == "both" else -0.5
            root_l, root_r = (power_of(x / (1 - beta2**step), power, eps) for x in (left, right))
        update = m / (1 - beta1**step)
        adam = update / ((v / (1 - beta2**step)).sqrt() + 1e-15)
        update = root_l @ update if sides != "right" else update
        update = update @ root_r if sides != "left" else update
        found.append(update * length(adam) / length(update) if graft else update)
    return found


@pytest.mark.parametrize("sides", ["both", "left", "right"])
@pytest.mark.parametrize(("every", "graft"), [(1, False), (3, True)])
def test_steps_equal_the_definition(build, sides, every, graft):
    gradients = [random(2, 4, 5, seed=seed) for seed in range(6)]
    options = {"sides": sides, "every": every, "graft": graft}
    got, _ = directions(rule_of(build, (4, 5), 2, shampoo=options), gradients)
    for member in range(2):
        for update, wanted in zip(got, slow_shampoo([g[member] for g in gradients], **options), strict=True):
            torch.testing.assert_close(update[member], wanted, rtol=1e-6, atol=1e-6)


def test_the_short_side_is_the_smaller_matrix(build):
    for shape, side in (((3, 7), "left"), ((7, 3), "right"), ((4, 4), "left")):
        assert rule_of(build, shape, shampoo={"sides": "short"}).sides == (side,)


@pytest.mark.parametrize("sides", ["both", "left"])
def test_without_memory_it_is_the_polar_factor(build, sides):
    g = random(1, 4, 4)
    options = {"beta1": 0, "beta2": 0, "graft": False, "sides": sides, "eps": 1e-12}
    (got,), _ = directions(rule_of(build, (4, 4), shampoo=options), [g])
    torch.testing.assert_close(got[0], svd_map(g[0], lambda value: 1.0), rtol=1e-4, atol=1e-4)


def test_a_matrix_without_gradient_stays(build):
    got, state = directions(rule_of(build, (4, 3), shampoo={}), [torch.zeros(1, 4, 3)] * 3)
    assert not any(update.any() for update in got)
    assert all(torch.isfinite(value).all() for value in state.values())
    assert math.isfinite(float(got[-1].sum()))


def test_another_rule_for_matrices_clashes(build):
    with pytest.raises(PluginError, match="claimed by 'muon' and 'shampoo'"):
        build(muon={}, shampoo={})
    with pytest.raises(ConfigError, match=r"plugins\.shampoo\.sides"):
        build(shampoo={"sides": "top"})
