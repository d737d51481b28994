"""Facts in words: whether what they say holds of the recipe that is built here."""

import math
import re
from itertools import pairwise
from typing import Any

import torch

from tests.recipes import records
from tests.recipes.built import Recipe
from tests.recipes.facts import Fact
from tests.recipes.rules import has, is_muon, lacks, option


def full_attention(r: Recipe) -> bool:
    return not any("window" in plugin for plugin in r.plugins)


def schedule(r: Recipe, fact: Fact) -> bool | None:
    """The learning rate's way down, at the step before it begins, in its middle and in the last step."""
    n, text = r.steps, fact.value
    if "over the last 1450" in text:
        expected = {n - 1450: 1.0, n - 725: 0.5, n - 1: 1 / 1450}
    elif text.startswith("cosine to 0"):
        w = option("cosine", "warmup")(r)
        expected = {step: (1 + math.cos(math.pi * (step - w) / (n - w))) / 2 for step in (int(w), n // 2, n - 1)}
    elif "6e-4 to 6e-5" in text:
        expected = {
            step: (6e-5 + 5.4e-4 * (1 + math.cos(math.pi * (step - 2000) / 598_000)) / 2) / 6e-4
            for step in (2000, 301_000, 599_999)
        }
    elif "0.6" in text and "linear to 0.1" in text:
        expected = {1062: 1.0, 1416: 0.55, 1769: 0.1 + 0.9 / 708}
    elif "c*(2900-s)^1.2" in text:
        expected = {step: min(1.0, ((2900 - step) / 2386.4) ** 1.2) for step in (500, 600, 1500, n - 1)}
    else:
        return None
    return all(abs(r.factor(step) - value) < 1e-6 for step, value in expected.items())


def warmup_form(r: Recipe, fact: Fact) -> bool | None:
    """The factor of the first and the fifth step."""
    forms = {"(s+1)/200": (1, 200), "none": (200, 200)}
    if fact.value not in forms:
        return None
    first, steps = forms[fact.value]
    return all(abs(r.factor(step) - min(1.0, (step + first) / steps)) < 1e-9 for step in (0, 4))


def warmup(r: Recipe, fact: Fact) -> float | bool:
    """Steps before the factor is 1, told by the factors themselves; with the ramp's form where the fact has it."""
    reached = next(step for step in range(r.steps) if r.factor(step) >= 1)
    start = {"(s+1)/2001": 1 / 2001, "(s+1)/700": 1 / 700, "s/w": 0.0}
    form = next((value for text, value in start.items() if text in fact.unit), None)
    if form is None or not fact.numbers[0]:
        return float(reached + 1 if reached else 0)
    fits = abs(r.factor(0) - form) < 1e-9
    return fits and fact.numbers[0] - 1 <= reached <= fact.numbers[0]


def momentum(r: Recipe, fact: Fact) -> bool | None:
    if "0.85 to 0.95" in fact.value and "over 300" in fact.value:
        last = 0.95 if "last 50" not in fact.value else 0.852
        at = {0: 0.85, 150: 0.9, 300: 0.95, r.steps - 51: 0.95, r.steps - 1: last}
        return all(abs(r.dial("momentum", step) - value) < 1e-6 for step, value in at.items() if 0 <= step < r.steps)
    if fact.value.startswith("0.95 constant"):
        return r.plugins["muon"]["momentum"] == 0.95 and r.plugins["muon"]["nesterov"]
    return None


def muon_decay(r: Recipe, fact: Fact) -> float | bool:
    """Of all matrices; twice that in MLPs, or after their radius is set, where the fact says so."""
    own = r.plugins["muon"]["weight_decay"]
    if "x2 on MLP" in fact.value:
        return own == fact.numbers[0] and r.plugins["mlp_wd_2x"]["factor"] == 2
    if "post-pin cautious" in fact.value:
        return own == fact.numbers[-1] and has("cautious_wd", "radial_brake")(r)
    return float(own)


def adam_decay(r: Recipe, fact: Fact) -> float | None:
    """Of all that Muon does not move; as a multiple of the rate where it falls with the rate again."""
    if "effective wd*mul*(lr*mul)^2" in f"{fact.value}, {fact.unit}":
        twice = has("cautious_wd", "wd_schedule")(r)
        return r.config.optim.weight_decay / r.config.optim.lr if twice else None
    decays = {part.weight_decay for part in r.parts if not is_muon(part)}
    return decays.pop() if len(decays) == 1 else math.nan


def windows(r: Recipe, fact: Fact) -> bool:
    """Every step at which the long window changes, and to what."""
    said = {int(step): int(size) for step, size in (each.split(":") for each in fact.value.split(";"))}
    sizes = [r.dial("window", step) for step in range(r.steps)]
    found = {0: sizes[0]} | {step + 1: after for step, (before, after) in enumerate(pairwise(sizes)) if before != after}
    return said == found


def layout(r: Recipe, fact: Fact) -> bool:
    short = r.plugins["window_warmup"]["short_layers"]
    return fact.value.split() == ["S" if layer in short else "L" for layer in range(r.config.model.depth)]


def rope(r: Recipe, fact: Fact) -> bool | None:
    found = r.plugins.get("rope")
    if found is None:
        return None
    if "as published not a rotation" in fact.value:
        return found["form"] == "nvidia" and found["base"] == 10_000
    if "(1/1024)^(j/31)" in fact.value:
        return found["truncate"] and found["base"] == 1024 and found["form"] == "rotation"
    if "half-split" in fact.value:
        return not found["truncate"] and found["base"] == 10_000 and found["form"] == "rotation"
    return None


def scale(r: Recipe) -> float:
    """What products of queries and keys are multiplied by."""
    if "ngpt" in r.plugins:
        return math.sqrt(r.config.model.head_dim)
    given = r.plugins.get("attn_scale", {}).get("scale")
    return float(given or 1 / math.sqrt(r.config.model.head_dim))


def softmax_scale(r: Recipe, fact: Fact) -> float | bool:
    """Facts have it as a number, as `formula=number`, or as what YaRN makes of it."""
    if "at first" in fact.value:
        return records.softmax_scale(r, fact)
    return abs(scale(r) - fact.numbers[-1]) < 1e-6


def positions(r: Recipe, fact: Fact) -> bool | None:
    if fact.value == "learned 1024 + RoPE base 10000":
        same = r.config.model.context == 1024 and r.plugins["rope"]["base"] == 10_000
        return same and has("learned_positions")(r)
    if fact.value.startswith("learned, 1024"):
        return "rope" not in r.plugins and r.config.model.context == 1024
    return None


def mlp_kind(r: Recipe, fact: Fact) -> bool | None:
    kinds = {
        "SwiGLU": has("swiglu"),
        "ReLU^2": has("relu2"),
        "GELU, exact": lacks("swiglu", "relu2", "tanh_gelu"),
        "exact GELU": lacks("swiglu", "relu2", "tanh_gelu"),
        "no bias": lacks("linear_bias"),
        "GELU, tanh": has("tanh_gelu"),
    }
    found = [true(r) for word, true in kinds.items() if word in f"{fact.value}, {fact.unit}"]
    return all(found) if found else None


def hidden(r: Recipe, fact: Fact) -> float | bool:
    width = {part.shape[-1] for part in r.parts if part.path.endswith("mlp.down.weight")}
    kind = mlp_kind(r, fact)
    return width == {int(fact.numbers[0])} and kind is not False


def norm(r: Recipe, fact: Fact) -> bool | None:
    text = fact.value
    if text.startswith("LayerNorm"):
        found = r.plugins.get("layernorm")
        return found is not None and found["eps"] == 1e-5 and found["bias"] == (not text.endswith(("bias no", "no")))
    if text.startswith("RMSNorm without gain"):
        after = "also after embedding" in text
        return lacks("layernorm", "rmsnorm_gain", "ngpt")(r) and after == ("norm_after_embed" in r.plugins)
    if text.startswith(("RMSNorm with gain", "RMSNorm in fp32")):
        return "rmsnorm_gain" in r.plugins
    if "unit" in text:
        return "ngpt" in r.plugins
    return None


def softcap(r: Recipe, fact: Fact) -> bool | None:
    found = r.plugins.get("softcap")
    if "sqrt(z^2+225)" in fact.value:
        return found is not None and (found["shape"], found["cap"]) == ("isru", 15)
    if fact.value == "23*sigmoid((z+5)/7.5)":
        return found is not None and tuple(found[k] for k in ("shape", "cap", "width", "shift")) == (
            "sigmoid",
            23,
            7.5,
            5,
        )
    if fact.value.startswith("30*sigmoid(z/(7.5*sqrt("):
        said = ("sigmoid", 30, 7.5, 0, True)
        return found is not None and tuple(found[k] for k in ("shape", "cap", "width", "shift", "root_dim")) == said
    return None


def tables(r: Recipe, fact: Fact) -> float | bool:
    """How many, and which layers read them where the fact says so."""
    number = sum(part.role == "table" for part in r.parts)
    reading = [
        layer
        for layer in range(r.config.model.depth)
        if any(part.path == f"blocks.{layer}.attention.attend.value_embeddings.table" for part in r.parts)
    ]
    said = list(records.numbers(fact.value.partition("layers")[2]))[: len(reading)]
    return number == fact.numbers[0] and (not said or said == reading)


POLAR = {
    "quintic 3.4445,-4.7750,2.0315 x5": "quintic",
    "5 tuned triples": "tuned",
    "polar express 5 steps, 1.02*norm": "polar_express",
}


def polar(r: Recipe, fact: Fact) -> bool | None:
    found = r.plugins["muon"]
    if "12 x (2,-1.5,0.5)" in fact.value and "Frobenius" in fact.value:
        return found["polar"] == "ns12"
    if "12 x (2,-1.5,0.5)" in fact.value and "sqrt(||X X^T||_F)" in fact.value:
        return found["polar"] == "ns12" and "schatten_norm" in r.plugins
    for text, polar in POLAR.items():
        if fact.value.startswith(text):
            return found["polar"] == polar
    return None


GENERATORS = (
    "mudd_gates.own.weight",
    "mudd_gates.gate.weight",
    "mudd_connections.outer.weight",
    "dc_lite.second.weight",
)


def zeros(r: Recipe, fact: Fact) -> bool | None:
    """Everything that starts at zero, and nothing else."""
    names = {
        "attn out": "attention.out.weight",
        "MLP out": "mlp.down.weight",
        "head": "head.out.weight",
        "biases": "bias",
        "all biases": "bias",
        "bigram table": "bigram_hash_embed.table",
        "value gates": "gated_value_embeddings.gate.weight",
        "smear gate": "smear.gate.weight",
        "generator output weights": GENERATORS,
    }
    text = fact.value.removesuffix(": weights and biases")
    said = [] if text == "none" else [each.strip() for each in text.split(",")]
    if not all(each in names for each in said):
        return None
    weights = {path for path, info in r.first.assembly.infos.items() if info.role in ("matrix", "embedding", "head")}
    expected = {path for path in r.first.assembly.params for each in said if path.endswith(names[each])}
    are = {path for path, value in r.first.assembly.params.items() if not value.detach().any()}
    return are & (weights | expected) == expected


def no_attention(r: Recipe, fact: Fact) -> bool:
    """The one layer that has none; none of them where the fact says that only wide models go without."""
    depth = r.config.model.depth
    without = {layer for layer in range(depth) if not any(f"blocks.{layer}.attention.q" in p.path for p in r.parts)}
    wide = "width >" not in fact.value or r.config.model.dim > fact.numbers[1]
    return without == ({int(fact.numbers[0])} if wide else set())


def shape_factor(r: Recipe, fact: Fact) -> bool | None:
    """What a step of Muon's is larger by for a matrix with four times as many rows as columns, and for a square one."""
    rule: Any = next(part.rule for part in r.parts if is_muon(part))
    if not re.search(r"^2 for fc, 1 otherwise|2 for MLP in(,| \(3072x768\),) (1 otherwise|else 1)", fact.value):
        return None
    generator = torch.Generator().manual_seed(0)

    def size(rows: int, columns: int) -> float:
        g = torch.randn(1, rows, columns, generator=generator)
        step = rule.direction(g, g, rule.init(g), {"step": 1})
        return float(torch.linalg.svdvals(step)[0].square().mean().sqrt())

    return all(abs(size(rows, 16) / want - 1) < 0.15 for rows, want in ((64, 2.0), (16, 1.0)))
