import pytest
import torch

from coregpt.contract.randomness import Noise
from tests.contract.test_randomness import slow_uniform
from tests.plugins.slow import SlowGPT, shake

RATE = 0.6


class SlowDepth(SlowGPT):
    def __init__(self, run, shape):
        super().__init__(run)
        self.growth, self.skipped = shape, []

    def logits(self, tokens):
        found = []
        for b, row in enumerate(tokens.tolist()):
            self.start = b * tokens.shape[1]
            found.append(self.row(row))
        return torch.stack(found)

    def connect(self, h, y, layer, branch):
        number, last = 2 * layer + (branch == "mlp"), 2 * self.shape.depth - 1
        p = RATE if self.growth == "constant" else RATE * number / last
        if p == 0:
            return h + y
        drawn = slow_uniform(Noise.of(0, f"blocks.{layer}.{branch}.connection.stochastic_depth"), self.start, 0)
        self.skipped.append(drawn < p)
        return h if drawn < p else h + y / (1 - p)


@pytest.mark.parametrize("shape", ["linear", "constant"])
def test_training_skips_what_the_reference_skips(build, shape):
    run = shake(build(stochastic_depth={"rate": RATE, "shape": shape}, shape={"depth": 3}))
    tokens = torch.randint(0, 61, (6, 8), generator=torch.Generator().manual_seed(0))
    slow = SlowDepth(run, shape)
    wanted = slow.loss(tokens[:, :-1], tokens[:, 1:])
    loss, _ = run.model(tokens[:, :-1], tokens[:, 1:], run.dials.values)
    torch.testing.assert_close(loss.double(), wanted, rtol=1e-5, atol=0)
    assert 0 < sum(slow.skipped) < len(slow.skipped)


def test_evaluation_skips_nothing(build, batch):
    tokens, _ = batch()
    with_, without = build(stochastic_depth={"rate": RATE}), build()
    for run in (with_, without):
        run.model.eval()
    # Not to the bit: a layer with the plugin adds its branch apart from the product that made it.
    torch.testing.assert_close(*(run.model.logits(tokens, run.dials.values) for run in (with_, without)))
