"""The bare core against a forward pass written out by hand in float64."""

import math

import pytest
import torch
from torch import Tensor


def gpt_by_hand(weights: dict[str, Tensor], tokens: Tensor, depth: int, heads: int) -> Tensor:
    """Logits (T, V) of one row: learned positions, pre-RMSNorm, GELU; float64, loops over heads and queries."""
    w = {name: value.double() for name, value in weights.items()}
    eps = torch.finfo(torch.float32).eps

    def rms(x: Tensor) -> Tensor:
        return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()

    x = torch.stack([w["embedding.weight"][t] + w["shared.positions.weight"][i] for i, t in enumerate(tokens.tolist())])
    for layer in range(depth):
        a = f"blocks.{layer}.attention"
        h = rms(x)
        q, k, v = (h @ w[f"{a}.{name}.weight"].T for name in "qkv")
        width = q.shape[1] // heads
        out = torch.zeros_like(q)
        for head in range(heads):
            own = slice(head * width, (head + 1) * width)
            for t in range(len(tokens)):
                scores = k[: t + 1, own] @ q[t, own] / math.sqrt(width)
                weight = scores.exp() / scores.exp().sum()
                out[t, own] = weight @ v[: t + 1, own]
        x = x + out @ w[f"{a}.out.weight"].T
        m = f"blocks.{layer}.mlp"
        u = rms(x) @ w[f"{m}.up.weight"].T
        x = x + (0.5 * u * (1 + torch.erf(u / math.sqrt(2)))) @ w[f"{m}.down.weight"].T
    return rms(x) @ w["head.out.weight"].T


def test_logits_equal_the_hand_written_model(build, batch) -> None:
    run = build(shape={"init_std": 0.2})
    tokens, _ = batch(2)
    shape = run.config.model
    with torch.no_grad():
        got = run.model.logits(tokens, run.dials.values)
    for row in range(2):
        want = gpt_by_hand(run.assembly.params, tokens[row], shape.depth, shape.heads)
        assert (got[row] - want).abs().max() < 2e-5 * want.abs().max()


def test_the_position_table_exists_only_while_a_layer_relies_on_it(build) -> None:
    assert "shared.positions.weight" in build().assembly.params
    assert "shared.positions.weight" not in build(rope={}).assembly.params


def test_initial_loss_is_near_log_vocab(build, batch) -> None:
    run = build()
    loss, logged = run.model(*batch(), run.dials.values)
    assert loss.item() == pytest.approx(math.log(61), abs=0.05)
    assert logged["loss"] == loss


def test_heads_must_divide_dim() -> None:
    from coregpt.contract.config import ModelShape

    with pytest.raises(ValueError, match="30 is not a multiple of 4"):
        ModelShape(dim=30, heads=4)


@pytest.mark.parametrize(("plugins", "parameters"), [({"rope": {}, "swiglu": {}}, 162_201_600)])
def test_the_replication_baseline_has_its_published_size(catalogue, plugins, parameters) -> None:
    from coregpt.contract.config import ModelShape, RunConfig
    from coregpt.engine.accounting import count

    shape = ModelShape(vocab=50304, dim=768, depth=12, heads=12, context=1024)
    config = RunConfig(model=shape, plugins=plugins, tokens=2**20, batch_tokens=2**19, eval_tokens=2**20)
    assert count(config, catalogue.instances(plugins)).parameters == parameters
