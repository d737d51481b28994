"""Factorials: Montgomery's example, least squares, and what interactions trigger."""

import numpy as np
import pytest

from coregpt.contract.errors import ConfigError
from coregpt.stats.factorial import analyse, anova

# Montgomery's 2^2 (yield; A concentration, B catalyst), cells (1), a, b, ab; three unblocked replicates.
YIELD = np.array([[28, 36, 18, 31], [25, 32, 19, 30], [27, 32, 23, 29]], dtype=float)


def test_montgomerys_effects_and_table_are_reproduced():
    found = analyse(YIELD, ["A", "B"], 0.05)
    assert [e.estimate.gain for e in found.main] == pytest.approx([25 / 3, -5.0])
    assert found.interactions[0].estimate.gain == pytest.approx(5 / 3)
    lines = anova(YIELD, ["A", "B"], blocked=False)
    assert [line.source for line in lines] == ["A", "B", "A:B", "residual"]
    assert [line.ss for line in lines] == pytest.approx([208.3333, 75.0, 8.3333, 31.3333], abs=5e-5)
    # The book prints F = 53.15, 19.13, 2.13 because it divides by the rounded mean square 3.92.
    assert [line.f for line in lines[:3]] == pytest.approx([53.191, 19.149, 2.128], abs=5e-4)
    expected = [8.443716930009236e-05, 0.002361570796517046, 0.18277648068045815]
    assert [line.p for line in lines[:3]] == pytest.approx(expected)


def test_effects_are_those_of_least_squares_with_block_and_product_columns():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 8)) + rng.normal(0, 3, (4, 1))
    cell = np.tile(np.arange(8), 4)
    a, b, c = (np.where((cell >> j) & 1, 0.5, -0.5) for j in range(3))
    blocks = np.eye(4)[np.repeat(np.arange(4), 8)]
    columns = [a, b, c, 2 * a * b, 2 * a * c, 2 * b * c, 4 * a * b * c]
    beta = np.linalg.lstsq(np.column_stack([blocks, *columns]), values.ravel(), rcond=None)[0][4:]
    found = analyse(values, ["a", "b", "c"], 0.05)
    assert [e.estimate.gain for e in (*found.main, *found.interactions)] == pytest.approx(list(beta))
    assert [e.factors for e in found.interactions] == [("a", "b"), ("a", "c"), ("b", "c"), ("a", "b", "c")]
    assert sum(line.ss for line in anova(values, ["a", "b", "c"])) == pytest.approx(
        ((values - values.mean()) ** 2).sum()
    )


def test_blocks_take_their_share_out_of_the_error():
    values = YIELD + np.array([[0.0], [50.0], [-80.0]])
    lines = {line.source: line for line in anova(values, ["A", "B"])}
    assert lines["residual"].df == 6
    assert lines["residual"].ss == pytest.approx({x.source: x for x in anova(YIELD, ["A", "B"])}["residual"].ss)


def test_a_clear_interaction_brings_simple_effects_and_none_brings_none():
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 0.01, (6, 4))
    both = analyse(noise + np.array([0.0, 1.0, 0.0, -1.0]), ["x", "y"], 0.05)
    shown = {(s.factor, s.given, s.on): s.estimate.gain for s in both.simple}
    assert shown[("x", "y", False)] == pytest.approx(1.0, abs=0.02)
    assert shown[("x", "y", True)] == pytest.approx(-1.0, abs=0.02)
    assert len(shown) == 4
    assert analyse(noise + np.array([0.0, 1.0, 1.0, 2.0]), ["x", "y"], 0.01).simple == ()


@pytest.mark.parametrize("shape", [(3, 3), (2, 4), (12,)])
def test_tables_of_the_wrong_shape_are_refused(shape: tuple[int, ...]):
    with pytest.raises(ConfigError, match="factorial"):
        analyse(np.zeros(shape), ["a", "b"], 0.05)
