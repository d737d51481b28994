"""The model on the path CUDA takes: FlexAttention inside one compiled graph, the window moving."""

import pytest
import torch
from torch import Tensor, nn

from coregpt.contract.config import RunConfig
from coregpt.contract.context import Context
from coregpt.contract.plugin import Plugin, hookimpl
from coregpt.contract.site import Site
from coregpt.engine.attention.attend import block_mask
from coregpt.engine.build import build as build_run
from coregpt.engine.model import gpt as model
from coregpt.lab.laws.tools import counting_backend


@pytest.fixture
def run(build):
    """Windows and documents on rows of two FlexAttention blocks."""
    shape = {"context": 256, "init_std": 0.2}
    return build(
        shape=shape,
        config={"data": {"document_mask": True}, "tokens": 16 * 1024, "batch_tokens": 1024, "eval_tokens": 512},
        window_warmup={"start": 16, "step": 16},
        rope={},
    )


def use_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    def blocks(rules: tuple, ctx: Context, places: torch.Tensor | None, heads: int):
        return block_mask(rules, ctx, places, heads) if rules else None

    monkeypatch.setattr(model, "build_mask", blocks)


def test_flex_in_one_graph_equals_sdpa_while_the_window_moves(run, monkeypatch) -> None:
    tokens = torch.randint(0, 61, (2, 256), generator=torch.Generator().manual_seed(0))
    windows, wanted = [], []
    with torch.no_grad():
        for step in (0, 5, 10):
            run.dials.set(run.timeline.clock(step))
            windows.append(float(run.dials.values["window"]))
            wanted.append(run.model.logits(tokens, run.dials.values))
        assert windows == sorted(set(windows))
        use_blocks(monkeypatch)
        run.model.forward = run.model.logits
        compiled, graphs = counting_backend(run.model)
        for step, logits in zip((0, 5, 10), wanted, strict=True):
            run.dials.set(run.timeline.clock(step))
            assert (compiled(tokens, run.dials.values) - logits).abs().max() < 1e-4
    assert len(graphs) == 1


def test_layers_with_equal_rules_share_one_mask(run) -> None:
    assert len(run.model.mask_rules) == 1


class Times(nn.Module):
    """A rule with a parameter per head."""

    def __init__(self, at: Site):
        super().__init__()
        self.factor = at.scale("factor", (at.shape.heads,), 2.0)

    def forward(self, score: Tensor, b: Tensor, h: Tensor, q: Tensor, k: Tensor, ctx: Context) -> Tensor:
        return score * self.factor[h]


class Sharpened(Plugin):
    @hookimpl
    def add_score_rules(self, at: Site) -> nn.Module:
        return Times(at)


def test_flex_in_one_graph_takes_score_rules_and_shared_keys(catalogue, monkeypatch) -> None:
    shape = {"vocab": 61, "dim": 32, "depth": 2, "heads": 4, "context": 256, "init_std": 0.2}
    names: dict[str, dict[str, object]] = {"alibi": {}, "gqa": {"kv_heads": 2}, "window_warmup": {"step": 16}}
    config = RunConfig(model=shape, tokens=16 * 1024, batch_tokens=1024, eval_tokens=512)
    run = build_run(config, [*catalogue.instances(names), ("sharpened", Sharpened())])
    tokens = torch.randint(0, 61, (2, 256), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = []
        for step in (0, 5, 10):
            run.dials.set(run.timeline.clock(step))
            wanted.append(run.model.logits(tokens, run.dials.values))
        use_blocks(monkeypatch)
        run.model.forward = run.model.logits
        compiled, graphs = counting_backend(run.model)
        for step, logits in zip((0, 5, 10), wanted, strict=True):
            run.dials.set(run.timeline.clock(step))
            assert (compiled(tokens, run.dials.values) - logits).abs().max() < 1e-4
    assert len(graphs) == 1
