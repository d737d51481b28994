import math

import pytest
import torch

from coregpt.contract.errors import ConfigError
from tests.plugins.attention.test_mla import turned
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm

SIZES = {"kv_rank": 6, "q_rank": 10, "nope": 5, "rope": 4, "value": 3, "share": 0.4}
NAMES = ("q_down", "q_up", "kv_down", "k_up", "v_up", "k_rope", "out", "gate")
OWN = tuple(f"{branch}.{name}" for branch in ("selected", "whole") for name in ("k", "v"))


def slow_with(run, turn):
    class SlowHybrid(SlowGPT):
        def attention(self, x, tokens, layer):
            w = {name: self.layer(layer, f"attention.{name}.weight") for name in (*NAMES, *OWN)}
            s = run.model.blocks[layer].attention.inner.direction.double()
            heads = [self.head(x, w, s, head) for head in range(self.shape.heads)]
            return torch.cat(heads, 1) @ w["out"].T

        def head(self, x, w, s, head):
            nope, width, value = 5, 9, 3
            rows, values = slice(head * width, (head + 1) * width), slice(head * value, (head + 1) * value)
            out = []
            for t in range(len(x)):
                raw = w["q_up"][rows] @ rms_norm(w["q_down"] @ x[t])
                q = torch.cat((raw[:nope], turn(raw[nope:], t)))
                past = list(range(t + 1))
                best = sorted(past, key=lambda j: float(-(s @ x[j].detach())))[: math.ceil(0.4 * len(past) - 1e-6)]
                found = [self.latent(x, w, turn, head, j) for j in past]
                branches = [self.mixed(q, found)]
                for name, which in (("selected", best), ("whole", past)):
                    pairs = [(w[f"{name}.k"][rows] @ x[j], w[f"{name}.v"][values] @ x[j], j) for j in which]
                    pairs = [(torch.cat((k[:nope], turn(k[nope:], j))), v) for k, v, j in pairs]
                    branches.append(self.mixed(q, pairs))
                gates = torch.softmax(w["gate"] @ x[t], 0)
                out.append(sum(gate * branch for gate, branch in zip(gates, branches, strict=True)))
            return torch.stack(out)

        def latent(self, x, w, turn, head, j):
            c = rms_norm(w["kv_down"] @ x[j])
            k = torch.cat((w["k_up"][head * 5 : head * 5 + 5] @ c, turn(w["k_rope"] @ x[j], j)))
            return k, w["v_up"][head * 3 : head * 3 + 3] @ c

        def mixed(self, q, pairs):
            p = torch.softmax(torch.stack([q @ k / 3 for k, _ in pairs]), 0)
            return sum(weight * v for weight, (_, v) in zip(p, pairs, strict=True))

    return SlowHybrid


def test_the_whole_model_equals_the_definition(build):
    run = build(mla_nsa_hybrid=SIZES, shape={"depth": 2})
    assert_equals_slow_model(run, lambda r: slow_with(r, lambda x, t: x)(r))


def test_with_rope_every_branch_turns_its_keys(build):
    run = build(mla_nsa_hybrid=SIZES, rope={}, shape={"depth": 2})
    assert_equals_slow_model(run, lambda r: slow_with(r, turned)(r))


def test_a_query_selects_among_what_its_masks_show(build, batch):
    run = build(mla_nsa_hybrid=SIZES, window_warmup={"start": 4, "step": 4}, config={"data": {"document_mask": True}})
    run.dials.set(run.timeline.clock(0))
    tokens, _ = batch()
    seen = []
    attention = run.model.blocks[0].attention.inner
    plain = attention.chosen
    attention.chosen = lambda x, ctx: seen.append((plain(x, ctx), ctx)) or seen[-1][0]
    run.model.logits(tokens, run.dials.values)
    chosen, ctx = seen[0]
    for row in range(len(tokens)):
        for t in range(tokens.shape[1]):
            may = [j for j in range(max(0, t - 3), t + 1) if ctx.documents[row, j] == ctx.documents[row, t]]
            picked = chosen[row, 0, t].nonzero().flatten().tolist()
            assert set(picked) <= set(may)
            assert len(picked) == math.ceil(0.4 * len(may) - 1e-6)


def test_parameters_are_those_of_nanopoors_run_with_eight_heads(build):
    """729,856 a layer, counted in its code; the norms' gains are apart."""
    sizes = {"q_rank": 96, "kv_rank": 32, "nope": 32, "rope": 64, "value": 32}
    run = build(mla_nsa_hybrid=sizes, shape={"dim": 256, "heads": 8, "depth": 1})
    count = sum(p.numel() for path, p in run.assembly.params.items() if ".attention." in path)
    assert count == 729_856


def test_an_odd_rope_is_refused(build):
    with pytest.raises(ConfigError, match="must be even"):
        build(mla_nsa_hybrid={"rope": 3})


def test_rules_of_scores_hold_in_all_three(build, batch):
    """With scores capped near zero every branch takes the plain mean of what it may see."""
    run, (tokens, _) = (
        build(mla_nsa_hybrid={"share": 1.0}, score_softcap={"cap": 1e-6}, shape={"depth": 1}),
        batch(1, 9),
    )
    part = run.model.blocks[0].attention.inner
    seen = []
    part.out.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    with torch.no_grad():
        run.assembly.params["blocks.0.attention.gate.weight"].zero_()
        run.model.logits(tokens, run.dials.values)
        x = run.model.blocks[0].attention.pre(run.model.embedding(tokens, None) + run.model.positions(9))
        c = part.kv_norm(part.kv_down(x))
        values = [part.v_up(c), part.selection.v(x), part.whole.v(x)]
        means = [value.cumsum(1) / torch.arange(1, 10).view(1, 9, 1) for value in values]
    torch.testing.assert_close(seen[0], sum(means) / 3, rtol=1e-4, atol=1e-6)


def test_tokens_that_were_selected_keep_their_documents(build):
    """What mixture_of_depths leaves out shifts neither where documents begin nor how far a window reaches."""
    window = {"window": 2, "layout": "L"}
    run = build(mla_nsa_hybrid={"share": 1.0}, sliding_window=window, config={"data": {"document_mask": True}})
    part = run.model.blocks[0].attention.inner
    tokens = torch.tensor([[5, 6, 7, 8, 0, 9, 10, 11]])
    ctx = run.model._context(tokens, run.dials.values).select(torch.tensor([[1, 3, 5, 6]]))
    seen = part.chosen(torch.zeros(1, 4, 32), ctx)[0, 0]
    assert seen.tolist() == [
        [True, False, False, False],
        [False, True, False, False],
        [False, False, True, False],
        [False, False, True, True],
    ]
