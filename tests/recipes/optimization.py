"""What of the optimization track's records can be compared with a fact."""

import re
from typing import Any

from tests.recipes.built import Part, Recipe
from tests.recipes.facts import Fact
from tests.recipes.rules import Rule, bias, ends, gain, innermost, number, sized, std

ATTN_OUT = "attention.out.linear_bias"


def falls(r: Recipe, step: int, others: bool = False) -> float:
    """The factor of matrices, or of all others."""
    return r.factor(step) * (r.dial("powercool.others", step) if others else 1.0)


def below(others: bool) -> Rule:
    """The first step whose factor is not 1."""
    return number(lambda r: next(step for step in range(r.steps) if falls(r, step, others) < 1 - 1e-9))


def at_step(others: bool) -> Rule:
    return Rule(lambda r, fact: falls(r, 2689, others), 1e-5)


def uncorrected(wanted: Any) -> Rule:
    """`Adam without bias correction lr 0.01 betas 0.8,0.99`, and how many where the fact says so."""

    def check(r: Recipe, fact: Fact) -> bool:
        parts: list[Part] = [part for part in r.parts if wanted(part)]
        betas = tuple(map(float, re.findall(r"betas ([\d.]+),([\d.]+)", fact.value)[0]))
        count = re.findall(r"\((\d+) tensors", fact.value)
        plain = "scalar" in r.plugins["no_bias_correction"]["roles"]
        rules = {(innermost(part.rule).beta1, innermost(part.rule).beta2, round(part.lr, 9)) for part in parts}
        return plain and rules == {(*betas, 0.01)} and (not count or int(count[0]) == len(parts))

    return Rule(check)


def said(plugin: str, text: str, **options: Any) -> Rule:
    """A fact of these words is these options."""

    def check(r: Recipe, fact: Fact) -> bool | None:
        if fact.value != text:
            return None
        found = r.plugins[plugin]
        return all(found[name] == value for name, value in options.items())

    return Rule(check)


def near(r: Recipe, plugin: str, **steps: int) -> bool:
    """Whether spans are these steps, as whole ones count."""
    spans = {name: r.clock(0).span(r.plugins[plugin][name]) for name in steps}
    return all(step - 1 < spans[name] <= step + 1e-3 for name, step in steps.items())


def trusted(r: Recipe, fact: Fact) -> bool | None:
    if "floor 0.45 to step 1375, fading to 0 at 1625, cap 0.85 to 1625" not in fact.value:
        return None
    found = r.plugins["soap_muon"]
    same = (found["trust_gate"], found["gate_floor"], found["gate_cap"]) == (True, 0.45, 0.85)
    return same and near(r, "soap_muon", gate_from=1375, gate_to=1625)


def tail(r: Recipe, fact: Fact) -> bool | None:
    if fact.value != "tau 150, from the weights after step 2400, lambda 0.6, embedding excluded":
        return None
    found = r.plugins["ema"]
    same = found["blend"] == 0.6 and list(found["skip"]) == ["embedding"]
    return same and near(r, "ema", start=2400) and abs(r.clock(0).span(found["horizon"]) - 150) < 0.01


def signed(r: Recipe, fact: Fact) -> bool | None:
    """Gains of blocks: one size around 1, opposite signs in attention and MLP, pairs that cancel in every block."""
    told = "norm1 1-0.125 s, norm2 1+0.125 s, s = +-1; pairs from layer 6 with complementary counts per 128 block"
    if fact.value != told:
        return None
    values = {path: value.detach() for path, value in r.first.assembly.params.items() if path.endswith(".norm_gain")}
    depth = r.config.model.depth
    first, second = (
        [values[f"blocks.{layer}.{branch}.pre.norm_gain"] - 1 for layer in range(depth)]
        for branch in ("attention", "mlp")
    )
    opposite = all(float((a + b).abs().max()) < 1e-6 for a, b in zip(first, second, strict=True))
    sizes = all(float((a.abs() - 0.125).abs().max()) < 1e-6 for a in first)
    sums = [(second[layer] + second[layer + 1]).view(-1, 128).sum(1) for layer in range(6, depth, 2)]
    return opposite and sizes and all(float(each.abs().max()) < 1e-5 for each in sums)


OPTIMIZATION: dict[str, Rule] = {
    "sched.steps.horizon": number(lambda r: r.steps + r.clock(0).span(r.plugins["powercool"]["past"])),
    "sched.steps.counted": number(lambda r: r.steps),
    "tokens.at_2690": number(lambda r: r.config.tokens),
    "sched.first_step_below_peak.matrices": below(others=False),
    "sched.first_step_below_peak.aux": below(others=True),
    "sched.lr_factor.matrices.step2689": at_step(others=False),
    "sched.lr_factor.aux.step2689": at_step(others=True),
    "optim.gains": uncorrected(gain),
    "optim.biases": uncorrected(lambda part: bias(part) and not part.path.endswith(ATTN_OUT)),
    "optim.attn_out_bias": uncorrected(ends(ATTN_OUT)),
    "optim.gains.params": sized(gain),
    "optim.biases.params": sized(lambda part: bias(part) and not part.path.endswith(ATTN_OUT)),
    "optim.attn_out_bias.params": sized(ends(ATTN_OUT)),
    "optim.muon.soap": said(
        "soap_muon", "beta 0.9, refresh every step, all 72 matrices; first step unpreconditioned", beta=0.9, every=1
    ),
    "optim.muon.row_floor": Rule(lambda r, fact: r.plugins["uw_floor"]["by_row"] and r.plugins["uw_floor"]["tau"]),
    "optim.muon.radial_outward": number(lambda r: r.plugins["radial_brake"]["brake"]),
    "trust_gate": Rule(trusted),
    "tail_ema": Rule(tail),
    "init.std.fc.layer0": std("blocks.0.mlp.up.weight"),
    "init.std.fc.layer11": std("blocks.11.mlp.up.weight"),
    "init.std.biases_qkv_fc": std("q.linear_bias", "k.linear_bias", "v.linear_bias", "up.linear_bias"),
    "init.gains.block": Rule(signed),
    "init.gains.outer": Rule(lambda r, fact: r.stds("entry_norm.norm_gain", "final_norm.norm_gain")[0]),
}
