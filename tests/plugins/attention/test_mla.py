import pytest
import torch

from coregpt.contract.errors import ConfigError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model, rms_norm

SIZES = {"kv_rank": 6, "q_rank": 10, "nope": 5, "rope": 4, "value": 3}
BASE = 10_000.0


def turned(x, t):
    """Pairs (i, i + n/2) of one vector, turned by t base^(-2i/n)."""
    half = len(x) // 2
    out = x.clone()
    for i in range(half):
        angle = torch.tensor(t * BASE ** (-2 * i / len(x)), dtype=torch.float64)
        out[i] = x[i] * angle.cos() + x[i + half] * angle.sin()
        out[i + half] = x[i + half] * angle.cos() - x[i] * angle.sin()
    return out


class SlowMla(SlowGPT):
    turn = staticmethod(lambda x, t: x)

    def attention(self, x, tokens, layer):
        w = {
            name: self.layer(layer, f"attention.{name}.weight")
            for name in ("q_down", "q_up", "kv_down", "k_up", "v_up", "k_rope", "out")
        }
        nope, rope, value = SIZES["nope"], SIZES["rope"], SIZES["value"]
        heads = []
        latent = [rms_norm(w["kv_down"] @ row) for row in x]
        for head in range(self.shape.heads):
            q_rows = slice(head * (nope + rope), (head + 1) * (nope + rope))
            qs = [w["q_up"][q_rows] @ rms_norm(w["q_down"] @ row) for row in x]
            out = []
            for t in range(len(tokens)):
                scores = []
                for s in range(t + 1):
                    # The absorbed form: queries meet the latent vector itself.
                    folded = w["k_up"][head * nope : (head + 1) * nope].T @ qs[t][:nope]
                    place = self.turn(qs[t][nope:], t) @ self.turn(w["k_rope"] @ x[s], s)
                    scores.append((folded @ latent[s] + place) / (nope + rope) ** 0.5)
                p = torch.softmax(torch.stack(scores), 0)
                mixed = sum(p[s] * latent[s] for s in range(t + 1))
                out.append(w["v_up"][head * value : (head + 1) * value] @ mixed)
            heads.append(torch.stack(out))
        return torch.cat(heads, 1) @ w["out"].T


class SlowTurned(SlowMla):
    turn = staticmethod(turned)


def test_the_whole_model_equals_the_absorbed_form(build):
    assert_equals_slow_model(build(mla=SIZES, shape={"depth": 2}), SlowMla)


def test_with_rope_only_the_rope_part_turns(build):
    assert_equals_slow_model(build(mla=SIZES, rope={}, shape={"depth": 2}), SlowTurned)


def test_values_of_another_width_work_under_masks_and_in_bf16(build, batch):
    tokens, targets = batch()
    losses = []
    for dtype in (torch.float32, torch.bfloat16):
        run = build(mla=SIZES, window_warmup={"start": 4, "step": 4}, config={"data": {"document_mask": True}})
        run.dials.set(run.timeline.clock(0))
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss, _ = run.model(tokens, targets, run.dials.values)
        loss.backward()
        losses.append(float(loss.detach()))
    assert losses[0] == pytest.approx(losses[1], abs=0.02)


def test_parameters_are_those_of_the_definition(build):
    run, plain = build(mla=SIZES, shape={"depth": 1}), build(shape={"depth": 1})
    count = lambda r: sum(p.numel() for path, p in r.assembly.params.items() if ".attention." in path)  # noqa: E731
    assert count(run) == 32 * 10 + 10 * 2 * 9 + 32 * 6 + 6 * 2 * 5 + 6 * 2 * 3 + 32 * 4 + 2 * 3 * 32
    assert count(plain) == 4 * 32 * 32


def test_an_odd_rope_is_refused(build):
    with pytest.raises(ConfigError, match="must be even"):
        build(mla={"rope": 3})
