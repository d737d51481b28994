"""Counts against formulas written out by hand."""

import pytest

from coregpt.contract.config import ModelShape, RunConfig
from coregpt.engine.accounting import count


def hand_flops(shape: ModelShape, mlp_weights: int) -> float:
    """Forward + backward = 3 x forward; 2 FLOPs per multiply-add; scores and mixing over all T keys."""
    weights = shape.depth * (4 * shape.dim**2 + mlp_weights) + shape.dim * shape.vocab
    attention = shape.depth * 2 * shape.context * shape.dim
    return 3 * 2 * (weights + attention)


@pytest.mark.parametrize(
    ("plugins", "hidden", "mlp"),
    [({}, None, 2 * 64 * 256), ({"rope": {}, "swiglu": {}}, None, 3 * 64 * 170), ({"relu2": {}}, 100, 2 * 64 * 100)],
)
def test_flops_equal_the_formula(catalogue, plugins, hidden, mlp) -> None:
    shape = ModelShape(vocab=97, dim=64, depth=3, heads=4, context=40, hidden=hidden)
    config = RunConfig(model=shape, plugins=plugins, batch_tokens=80, eval_tokens=40)
    cost = count(config, catalogue.instances(plugins))
    assert cost.flops_per_token == pytest.approx(hand_flops(shape, mlp), rel=1e-9)
    assert cost.flops == cost.flops_per_token * cost.tokens


def test_parameters_by_role_add_up(catalogue) -> None:
    shape = ModelShape(vocab=97, dim=64, depth=3, heads=4, context=40)
    cost = count(RunConfig(model=shape, batch_tokens=80, eval_tokens=40), [])
    matrices = 3 * (4 * 64**2 + 2 * 64 * 256)
    assert cost.parameters_by_role == {"embedding": (97 + 40) * 64, "matrix": matrices, "head": 97 * 64}
    assert cost.parameters == sum(cost.parameters_by_role.values())
