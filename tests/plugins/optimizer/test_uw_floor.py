import pytest
import torch

from coregpt.contract.errors import ConfigError
from tests.plugins.optimizer.slow import at, length, random, rule_of


def once(build, p, g, **options):
    """(update without a floor, with it) of one stack in a first step of Muon."""
    found = []
    for plugins in ({}, {"uw_floor": options}):
        rule = rule_of(build, tuple(p.shape[1:]), muon={}, **plugins)
        found.append(rule.direction(p, g, rule.init(p), at(1)))
    return found


def test_short_updates_reach_the_floor_and_long_ones_stay(build):
    p, g = random(3, 6, 4), random(3, 6, 4, seed=1)
    p = p * torch.tensor([1e-3, 1.0, 40.0]).view(3, 1, 1).double()
    plain, got = once(build, p, g, tau=0.5)
    for n in range(3):
        ratio = length(plain[n]) / length(p[n])
        wanted = plain[n] * (0.5 / ratio if ratio < 0.5 else 1.0)
        torch.testing.assert_close(got[n], wanted, rtol=1e-10, atol=1e-12)
    assert torch.equal(got[0], plain[0])
    assert length(got[2]) == pytest.approx(0.5 * length(p[2]))


def test_by_row_only_rows_that_are_short_change(build):
    p, g = random(1, 6, 4), random(1, 6, 4, seed=1)
    p[0, 3:] *= 100
    plain, got = once(build, p, g, tau=0.4, by_row=True)
    for row in range(6):
        size, wanted = length(plain[0, row]), 0.4 * length(p[0, row])
        torch.testing.assert_close(got[0, row], plain[0, row] * max(1.0, wanted / size), rtol=1e-10, atol=1e-12)
    assert length(got[0, 5]) == pytest.approx(0.4 * length(p[0, 5]))


def test_zeros_stay_as_they_are(build):
    zeros, g = torch.zeros(1, 6, 4), random(1, 6, 4).float()
    plain, got = once(build, zeros, g)
    assert torch.equal(plain, got)
    plain, got = once(build, g, zeros)
    assert not got.any()


def test_it_comes_after_normuon(build):
    rule = rule_of(build, muon={}, normuon={}, uw_floor={})
    assert [type(rule).__name__, type(rule.inner).__name__] == ["Floored", "Normalised"]


def test_a_negative_floor_is_refused(build):
    with pytest.raises(ConfigError, match=r"plugins\.uw_floor\.tau"):
        build(uw_floor={"tau": -0.1})
