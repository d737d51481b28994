import pytest
import torch

from coregpt.contract.errors import ConfigError
from coregpt.contract.randomness import Noise
from tests.contract.test_randomness import slow_uniform
from tests.plugins.slow import SlowGPT, shake

P = 0.3


class SlowDropout(SlowGPT):
    """Rows begin at 0, T, 2T ... of what the run trains on; every number is drawn by the reference of the hash."""

    dropped = 0

    def keep(self, x, path):
        noise, (length, dim) = Noise.of(0, f"{path}.dropout"), x.shape
        factors = torch.zeros(length, dim, dtype=torch.float64)
        for t in range(length):
            for i in range(dim):
                if slow_uniform(noise, self.start, t * dim + i) >= P:
                    factors[t, i] = 1 / (1 - P)
        self.dropped += int((factors == 0).sum())
        return x * factors

    def logits(self, tokens):
        found = []
        for b, row in enumerate(tokens.tolist()):
            self.start = b * tokens.shape[1]
            found.append(self.row(row))
        return torch.stack(found)

    def embed(self, tokens):
        words = torch.stack([self.p["embedding.weight"][token] for token in tokens])
        return self.keep(words, "embedding") + self.p["shared.positions.weight"][: len(tokens)]

    def connect(self, h, y, layer, branch):
        return h + self.keep(y, f"blocks.{layer}.{branch}.connection")


def test_training_drops_what_the_reference_drops(build):
    run = shake(build(dropout={"branch": P, "embedding": P}, shape={"depth": 2}))
    tokens = torch.randint(0, 61, (2, 8), generator=torch.Generator().manual_seed(0))
    slow = SlowDropout(run)
    wanted = slow.loss(tokens[:, :-1], tokens[:, 1:])
    loss, _ = run.model(tokens[:, :-1], tokens[:, 1:], run.dials.values)
    torch.testing.assert_close(loss.double(), wanted, rtol=1e-5, atol=0)
    wanted.backward()
    loss.backward()
    for path, value in run.assembly.params.items():
        torch.testing.assert_close(value.grad.double(), slow.p[path].grad, rtol=1e-3, atol=1e-6)
    numbers = 2 * 7 * 32 * 5
    assert abs(slow.dropped / numbers - P) < 4 * (P * (1 - P) / numbers) ** 0.5


def test_evaluation_drops_nothing(build, batch):
    tokens, _ = batch()
    with_, without = build(dropout={"branch": P, "embedding": P}), build()
    for run in (with_, without):
        run.model.eval()
    # Not to the bit: a layer with the plugin adds its branch apart from the product that made it.
    torch.testing.assert_close(*(run.model.logits(tokens, run.dials.values) for run in (with_, without)))


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_bad_probabilities_are_refused(build, p):
    with pytest.raises(ConfigError, match=r"plugins\.dropout\.branch"):
        build(dropout={"branch": p})
