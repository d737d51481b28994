"""What of the newer records can be compared with a fact: stages, windows, groups of parameters, parts of layers."""

import math
import re
from itertools import pairwise
from typing import Any

import torch
from coregpt_plugins.residual.bigram_hash_embed import bigram_rows

from tests.recipes.built import Part, Recipe
from tests.recipes.facts import Fact
from tests.recipes.rules import (
    Answer,
    Rule,
    counted,
    ends,
    has,
    innermost,
    is_muon,
    lacks,
    number,
    option,
    sized,
    std,
    words,
)

BLOCK = 128
"""Tokens of one block of a window."""


def numbers(text: str) -> tuple[int, ...]:
    """Every whole number in it, spans such as `11-15` filled up."""
    found: list[int] = []
    for first, last in re.findall(r"(\d+)(?:-(\d+))?", text):
        found += range(int(first), int(last or first) + 1)
    return tuple(found)


def listed(plugin: str, name: str) -> Rule:
    """Layers in a fact such as `0,2,5,9` are those of an option."""
    return Rule(lambda r, fact: sorted(numbers(fact.value)) == sorted(r.plugins[plugin][name]))


def extension(r: Recipe) -> int:
    return round(r.clock(0).span(r.plugins.get("stage_rates", {}).get("extension", 0)))


def cooldown_start(r: Recipe) -> int:
    """The last step before the rate begins to fall."""
    factors = [r.factor(step) for step in range(r.steps)]
    return next(s for s, (one, other) in enumerate(pairwise(factors)) if other < one)


def samples(value: Any) -> Rule:
    """A fact such as `0:1; 300:0.95; 1270-1284:0.15`, to the digits it has."""

    def check(r: Recipe, fact: Fact) -> bool:
        found = re.findall(r"(\d+)(?:-(\d+))?:([\d.]+)", fact.value)
        steps = [(int(step), float(said)) for first, last, said in found for step in (first, last or first)]
        return bool(steps) and all(abs(value(r, step) - said) < 6e-5 for step, said in steps)

    return Rule(check)


def windows(r: Recipe, step: int) -> tuple[int, int]:
    """(short, long) in blocks."""
    return tuple(int(r.dial(name, step)) // BLOCK for name in ("window.short", "window"))  # type: ignore[return-value]


def changes(r: Recipe) -> list[int]:
    """The first step, and those at which a window changes."""
    found = [windows(r, step) for step in range(r.steps)]
    return [0, *(s + 1 for s, (one, other) in enumerate(pairwise(found)) if one != other)]


def all_changes(r: Recipe, fact: Fact) -> bool:
    """`0:131072 (1,3); 392:262144 (3,7); 1567:(7,15)`: tokens and windows, step by step."""
    tokens, told = "", {}
    for step, size, short, long in re.findall(r"(\d+):(\d*) ?\((\d+),(\d+)\)", fact.value):
        tokens = size or tokens
        told[int(step)] = (int(tokens), (int(short), int(long)))
    found = [(r.run.timeline.batches[step], windows(r, step)) for step in range(r.steps)]
    steps = [0, *(s + 1 for s, (one, other) in enumerate(pairwise(found)) if one != other)]
    return told == {step: found[step] for step in steps}


def layout(r: Recipe, fact: Fact) -> bool:
    """L, S, and - for a layer without attention."""
    long, without = (
        r.plugins["window_stages"]["long_layers"],
        set(r.plugins.get("drop_layers", {}).get("attention", ())),
    )
    depth = range(r.config.model.depth)
    return fact.value.split() == ["-" if n in without else "L" if n in (long or (3, 10)) else "S" for n in depth]


def tied(r: Recipe, fact: Fact) -> bool:
    """Throughout, never, or until a step."""
    if "until" in fact.value:
        return "tie_then_untie" in r.plugins and last_tied(r) == numbers(fact.value)[0]
    return r.config.model.tied == (not fact.value.startswith("never"))


def last_tied(r: Recipe) -> int:
    return math.ceil(r.clock(0).span(r.plugins["tie_then_untie"]["until"])) - 1


def softmax_scale(r: Recipe, fact: Fact) -> bool:
    """That of YaRN, which grows with windows, up to one of so many blocks where the fact says so."""
    found = r.plugins["yarn_window_extension"]
    sizes = [windows(r, step)[1] for step in changes(r)]
    widest = max(size for size in sizes if size * BLOCK <= found["until"] * r.config.model.context)
    said = re.search(r"up to (\d+) blocks", fact.value)
    return (found["scale"], found["growth"]) == (0.1, 0.2) and widest == (int(said.group(1)) if said else max(sizes))


def skips(r: Recipe, fact: Fact) -> bool:
    """`9<-6, 10<-4` or `3 to 6`, gated or plain."""
    found = r.plugins["skip_pattern"]
    edges = {(int(b), int(a)) for a, b in re.findall(r"(\d+)<-(\d+)", fact.value)}
    edges |= {(int(a), int(b)) for a, b in re.findall(r"(\d+) to (\d+)", fact.value)}
    plain = "weights init 1" in fact.value
    return edges == {tuple(edge) for edge in found["edges"]} and found["gated"] != plain


def hashed(r: Recipe, fact: Fact) -> bool | None:
    """The rows of a few tokens, in Python's integers."""
    if "(36313*tok xor 27191*prev) mod 377279, int32" not in fact.value:
        return None
    ids = torch.randint(0, 50257, (1, 40), generator=torch.Generator().manual_seed(0))
    row = ids[0].tolist()
    wanted = [377279]
    for before, token in pairwise(row):
        mixed = ((36313 * token) ^ (27191 * before)) & 0xFFFFFFFF
        wanted.append((mixed - (mixed >> 31 << 32)) % 377279)
    rows = round(r.plugins["bigram_hash_embed"]["rows"] * r.config.model.vocab)
    return bool(bigram_rows(ids, rows, False)[0].tolist() == wanted)


def mtp(r: Recipe, fact: Fact) -> bool:
    """Three weights in the first stage, two in the second, each last one falling to zero; then the next token alone."""
    first, second = (changes(r)[1], changes(r)[2])
    at = {0: (0.5, 0.25), first: (0.5, 0.0), second: (0.0, 0.0), r.steps - 1: (0.0, 0.0)}
    falling = r.dial("mtp.2", first - 1) < 0.01 and r.dial("mtp.1", second - 1) < 0.01
    return falling and all((r.dial("mtp.1", s), r.dial("mtp.2", s)) == said for s, said in at.items())


def twice_scheduled(of: Any) -> Rule:
    """A cautious decay that falls with the rate again, told as a multiple of the rate."""
    return Rule(lambda r, fact: of(r) if has("cautious_wd", "wd_schedule")(r) else None)


def adam_group(*endings: str, inside: str = "") -> Rule:
    """betas; multiples of rate and of decay, which there is multiplied by the rate's multiple once more."""

    def found(r: Recipe, fact: Fact) -> Answer:
        answers = set()
        for part in r.parts:
            if part.path.endswith(endings) and inside in part.path:
                rule, base = innermost(part.rule), r.config.optim
                lr = part.lr / base.lr
                answers.add(
                    (rule.beta1, rule.beta2, round(lr, 9), round(part.weight_decay / base.weight_decay / lr, 9))
                )
        return answers.pop() if len(answers) == 1 else math.nan

    return Rule(found)


def muls(r: Recipe, fact: Fact) -> bool:
    """`head and embed 1/150; ...`: multiples of rate and decay of several groups at once."""
    groups = {
        "head and embed": ("embedding.weight", "head.out.weight"),
        "value tables and second embed": ("value_embeddings.0.weight", "second_input_embed.table"),
        "smear and skip gates": ("smear.gate.weight", "skip_from_6.gate.weight"),
        "x0 lambdas": ("embed_skip_x0.share", "second_input_share"),
    }
    told = dict(re.findall(r"([a-z][a-z0-9 ]+) ([\d.]+/[\d.]+)", fact.value))
    if set(told) != set(groups):
        return False
    said = {groups[name]: tuple(map(float, value.split("/"))) for name, value in told.items()}
    found = {key: adam_group(*key).check(r, fact) for key in said}
    return all(isinstance(found[key], tuple) and found[key][2:] == said[key] for key in said)  # type: ignore[index]


def factor_of(r: Recipe, *endings: str) -> float:
    """Rate over that of muon, times the factor of the matrix's shape."""
    part = next(part for part in r.parts if part.path.endswith(endings))
    rows, columns = part.shape
    return part.lr / r.plugins["muon"]["lr"] * math.sqrt(max(1.0, rows / columns))


def lr_muls(r: Recipe, fact: Fact) -> bool:
    """`qk 1, vo 1, MLP in 2, MLP out 4`."""
    groups = {
        "qk": ("attention.q.weight", "attention.k.weight"),
        "vo": ("attention.v.weight", "attention.out.weight"),
        "attn QKVO": ("attention.q.weight", "attention.k.weight", "attention.v.weight", "attention.out.weight"),
        "MLP in": ("mlp.up.weight",),
        "MLP out": ("mlp.down.weight",),
        "gates": ("sparse_attn_gate.gate.weight", "gated_value_embeddings.gate.weight"),
    }
    told = re.findall(r"(qk|vo|attn QKVO|MLP in|MLP out|gates) ([\d.]+)", fact.value)
    return bool(told) and all(
        abs(factor_of(r, ending) - float(said)) < 1e-9 for name, said in told for ending in groups[name]
    )


def grouped(r: Recipe, fact: Fact) -> bool | None:
    """What is orthogonalised together."""
    if "q,k per head pair" in fact.value:
        found = r.plugins["muon_grouping"]
        return (found["heads"], set(found["of"])) == (2, {"q", "k"})
    if "QKVO as four" in fact.value:
        return "muon_grouping" not in r.plugins and is_muon(gate_of(r))
    return None


def gate_of(r: Recipe) -> Part:
    return next(part for part in r.parts if part.path.endswith("sparse_attn_gate.gate.weight"))


def scalars_first(r: Recipe, fact: Fact) -> bool | None:
    """`resid sqrt(1.1) ..., post 1, sa (0.5,1), smear 0, skip -1.5`."""
    if "resid sqrt(1.1)" not in fact.value:
        return None
    said = {"residual_decay.keep": math.sqrt(1.1), "residual_decay.share": 1.0, "reading.value": 0.5}
    said |= {"writing.value": 1.0, "smear.lambda": 0.0, "skip_from_3.share": 1.5}
    return all(abs(value - want) < 1e-6 for path, want in said.items() for value in r.stds(path))


def value_layers(r: Recipe, fact: Fact) -> bool:
    read = {int(part.path.split(".")[1]) for part in r.parts if "attend.gated_value_embeddings" in part.path}
    return read == set(numbers(fact.value.split("(")[0]))


def batches(r: Recipe, fact: Fact) -> Answer:
    return tuple(float(r.run.timeline.batches[step]) for step in changes(r))


def stages(r: Recipe, fact: Fact) -> Answer:
    return tuple(float(each) for step in changes(r) for each in windows(r, step))


def boundaries(r: Recipe, fact: Fact) -> bool:
    starts = changes(r)
    pairs = zip(starts, [*starts[1:], r.steps], strict=True)
    return fact.value == ", ".join(f"{one}-{other}" for one, other in pairs)


SA_LAMBDAS = (".reading.value", ".writing.value")
MAIN = (*SA_LAMBDAS, "smear.lambda", ".keep", "stack.backout")

RECORDS: dict[str, Rule] = {
    "params.value_tables": sized(lambda part: part.role == "table" and "value_embeddings" in part.path),
    "params.bigram_table": sized(lambda part: "bigram" in part.path and part.role == "table"),
    "params.attn_matrices.qk_bank": sized(ends("attention.q.weight", "attention.k.weight")),
    "params.attn_matrices.vo_bank": sized(ends("attention.v.weight", "attention.out.weight")),
    "params.mlp_matrices.bank": sized(ends("mlp.up.weight", "mlp.down.weight")),
    "params.gates": sized(lambda part: part.role == "gate"),
    "params.total_without_padding": sized(lambda part: True),
    "shape.bigram": Rule(lambda r, fact: next(p.shape for p in r.parts if "bigram" in p.path and p.role == "table")),
    "shape.bigram_sign_buffer": Rule(lambda r, fact: (r.plugins["bigram_hash_embed"]["sign_rows"], r.config.model.dim)),
    "shape.value_tables": Rule(
        lambda r, fact: (len(r.plugins["gated_value_embeddings"]["tables"]), r.config.model.vocab, r.config.model.dim)
    ),
    "shape.head": Rule(lambda r, fact: (r.config.model.dim, r.config.model.vocab)),
    "gates.value_gate_bank": sized(ends("gated_value_embeddings.gate.weight")),
    "gates.value": sized(ends("gated_value_embeddings.gate.weight")),
    "gates.attn": sized(ends("sparse_attn_gate.gate.weight")),
    "gates.skip": sized(lambda part: "skip_from" in part.path and len(part.shape) == 2),
    "gates.smear": sized(ends("smear.gate.weight")),
    "gates.mudd_w1": sized(ends("mudd_connections.inner.weight")),
    "gates.mudd_w2": sized(ends("mudd_connections.outer.weight")),
    "gates.mudd_b": sized(ends("mudd_connections.bias")),
    "gates.mudd_gate_w1": sized(lambda part: "mudd_gates" in part.path and part.path.endswith("first.weight")),
    "gates.mudd_gate_w2": sized(ends("mudd_gates.own.weight", "mudd_gates.gate.weight")),
    "gates.mudd_gate_b": sized(ends("mudd_gates.own_bias", "mudd_gates.gate_bias")),
    "gates.mudd_gate_scale": counted(lambda part: "mudd_gates" in part.path and part.path.endswith(".scale")),
    "scalars.post": sized(ends("residual_decay.share")),
    "scalars.resid": sized(ends("residual_decay.keep")),
    "scalars.sa_smear_skip": sized(ends(*SA_LAMBDAS, "smear.lambda", "skip_from_3.share")),
    "scalars.x0": sized(ends("embed_skip_x0.share", "second_input_share")),
    "scalars.main": sized(
        lambda part: part.path.endswith(MAIN) or ("skip_from" in part.path and not part.path.endswith(".weight"))
    ),
    "init.std.head_and_embed": std("embedding.weight", "head.out.weight"),
    "init.std.qk_vo_mlpin": std("attention.q.weight", "attention.v.weight", "attention.out.weight", "mlp.up.weight"),
    "init.std.generators_w1": std("early.first.weight", "late.first.weight", "mudd_connections.inner.weight"),
    "init.scalars": Rule(scalars_first),
    "sched.boundaries": Rule(boundaries),
    "sched.changes": Rule(all_changes),
    "sched.split_step": number(last_tied),
    "sched.cooldown_start": number(cooldown_start),
    "sched.cooldown_frac": Rule(lambda r, fact: 1 - cooldown_start(r) / (r.steps - extension(r)), 2e-3),
    "sched.lr_factor.samples": samples(lambda r, step: r.factor(step)),
    "sched.steps.scheduled": number(lambda r: r.steps - extension(r)),
    "sched.steps.extension": number(extension),
    "sched.stage_lr_mul": Rule(lambda r, fact: tuple(r.plugins["stage_rates"]["lr"])),
    "tied": Rule(tied),
    "arch.layout_windows": Rule(layout),
    "arch.windows_layout": Rule(layout),
    "arch.paired_layers": listed("paired_head_attention", "layers"),
    "arch.xsa_layers": listed("mudd_gates", "xsa_layers"),
    "arch.attn_gate_layers": listed("mudd_gates", "gate_layers"),
    "arch.dc_layer": listed("dc_lite", "layers"),
    "arch.dc_window": number(option("dc_lite", "window")),
    "arch.value_layers": Rule(value_layers),
    "arch.late_source": words(r"normed layer-7 state", lambda r: r.plugins["late_attn_single_source"]["layer"] == 7),
    "arch.backout_layer": number(option("backout", "layer")),
    "arch.skip": Rule(skips),
    "arch.skips": Rule(skips),
    "arch.key_offset": words(
        "^long layers, dims 64-127", lambda r: list(r.plugins["partial_key_offset"]["layers"]) == [3, 10]
    ),
    "arch.bigram_hash": Rule(hashed),
    "arch.v_norm": words("^yes, before mixing", has("v_norm")),
    "arch.fp8": words("^off$", lambda r: True),
    "batch.tokens_per_step.stages": Rule(batches),
    "seq_len.max_document": number(lambda r: r.config.data.max_document or 0),
    "seq_len.max_document.stages": Rule(lambda r, fact: (float(r.config.data.max_document or 0),) * 4),
    "windows.stages": Rule(stages),
    "windows.long_tokens": words(
        r"^3456\*\(4q",
        lambda r: (r.plugins["window_warmup"]["shape"], r.plugins["window_warmup"]["final"]) == ("cubic", 3456),
    ),
    "loss.mtp_weights": Rule(mtp),
    "loss.reduction": Rule(lambda r, fact: fact.value == "mean"),
    "scalar_freeze": words("never called", lacks("scalar_freeze")),
    "optim.normuon.lr": number(option("muon", "lr")),
    "optim.normuon.beta2": number(option("normuon", "beta2")),
    "optim.normuon.weight_decay": twice_scheduled(
        lambda r: r.plugins["muon"]["weight_decay"] / r.plugins["muon"]["lr"]
    ),
    "optim.normuon.lr_mul": Rule(lr_muls),
    "optim.normuon.groups": Rule(grouped),
    "optim.normuon.momentum.samples": samples(lambda r, step: r.dial("momentum", step)),
    "optim.adam.lr": number(lambda r: r.config.optim.lr),
    "optim.adam.step_rule": words("^odd steps only", has("adam_every_other_step")),
    "optim.adam.muls": Rule(muls),
    "optim.adam.head": adam_group("head.out.weight"),
    "optim.adam.embed": adam_group("embedding.weight"),
    "optim.adam.value_tables": adam_group("value_embeddings.0.weight"),
    "optim.adam.bigram": adam_group("bigram_hash_embed.table"),
    "optim.adam.value_gates": adam_group("gated_value_embeddings.gate.weight"),
    "optim.adam.scalars": adam_group(*SA_LAMBDAS, "smear.lambda", "skip_from_3.share"),
    "optim.adam.smear_gate": adam_group("smear.gate.weight"),
    "optim.adam.post_lambdas": adam_group("residual_decay.share"),
    "optim.adam.resid_lambdas": adam_group("residual_decay.keep"),
    "optim.adam.mudd_w1_w2": adam_group(".weight", inside="mudd_connections"),
    "optim.adam.mudd_b": adam_group(".bias", inside="mudd_connections"),
    "optim.adam.gate_generator_w1_w2": adam_group(".weight", inside="mudd_gates"),
    "optim.adam.gate_generator_b_and_scale": adam_group("_bias", ".scale", inside="mudd_gates"),
    "optim.scalars": words(
        "^lr 0.008, betas 0.9,0.99, lr_mul 5, wd_mul 0",
        lambda r: adam_group(*MAIN).check(r, Fact("", "", "", "", "", "")) == (0.9, 0.99, 10.0, 0.0),
    ),
}
