import math

import pytest
import torch

from coregpt.contract.errors import ConfigError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


class SlowNarrow(SlowGPT):
    """Queries and keys of width 6, values of width 16."""

    def attention(self, x, tokens, layer):
        of = lambda name: self.layer(layer, f"attention.{name}.weight")  # noqa: E731
        out = torch.zeros(len(tokens), self.shape.dim, dtype=torch.float64)
        for head in range(2):
            for t in range(len(tokens)):
                scores = []
                for s in range(t + 1):
                    q, k = (of(name)[6 * head : 6 * head + 6] @ x[place] for name, place in (("q", t), ("k", s)))
                    scores.append(sum(q * k) / math.sqrt(6))
                total = sum(score.exp() for score in scores)
                mixed = sum(score.exp() / total * x[s] for s, score in enumerate(scores))
                value = of("v")[16 * head : 16 * head + 16] @ mixed
                out = out.index_add(0, torch.tensor([t]), (of("out")[:, 16 * head : 16 * head + 16] @ value)[None])
        return out


def test_the_whole_model_equals_the_definition(build):
    assert_equals_slow_model(build(narrow_qk={"width": 6}, shape={"depth": 2}), SlowNarrow)


@pytest.mark.parametrize(("head", "wanted"), [(128, 96), (64, 48), (16, 12), (8, 4), (4, 2), (2, 1)])
def test_by_default_three_quarters(build, head, wanted):
    run = build(narrow_qk={}, shape={"dim": 2 * head, "depth": 1})
    assert run.assembly.params["blocks.0.attention.q.weight"].shape == (2 * wanted, 2 * head)
    assert run.assembly.params["blocks.0.attention.v.weight"].shape == (2 * head, 2 * head)


def test_positions_and_norms_have_the_narrow_width(build, batch):
    run = build(narrow_qk={}, rope={"truncate": True}, qk_norm={}, attn_scale={"scale": 0.2}, shape={"depth": 1})
    found = []
    run.model.blocks[0].attention.inner.position.register_forward_hook(lambda m, i, output: found.append(output))
    run.model.logits(batch()[0], run.dials.values)
    assert [part.shape[-1] for part in found[0]] == [12, 12]
    assert run.model.blocks[0].attention.inner.attend.factor == pytest.approx(0.2 * math.sqrt(12))


def test_a_width_of_nothing_is_refused(build):
    with pytest.raises(ConfigError, match=r"plugins\.narrow_qk\.width"):
        build(narrow_qk={"width": 0})
