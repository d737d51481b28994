"""What of the nGPT replication, its muP and NVIDIA's nGPT can be compared with a fact."""

from collections.abc import Callable

import torch

from tests.recipes.built import Recipe
from tests.recipes.facts import Fact
from tests.recipes.rules import Rule, number, words


def ngpt(pattern: str, true: Callable[[Recipe], bool]) -> Rule:
    """A fact in these words about a recipe with nGPT."""
    return words(pattern, lambda r: "ngpt" in r.plugins and true(r))


def used(name: str) -> Rule:
    """What a scaler acts as at first: the model's own part is asked, whatever it stores."""

    def found(r: Recipe, fact: Fact) -> float:
        parts = [part for path, part in r.first.model.named_modules() if path.split(".")[-1] in name.split()]
        with torch.no_grad():
            values = {round(float(value), 6) for part in parts for value in part().flatten()[:8]}
        return values.pop() if len(values) == 1 else float("nan")

    return Rule(found, 1e-5)


def on_the_sphere(r: Recipe) -> bool:
    """Whether rows that read the stream and columns that write it have length 1, before the first step."""
    lengths = []
    for path, value in r.first.assembly.params.items():
        if value.dim() == 2:
            writes = r.first.assembly.infos[path].writes
            lengths.append(torch.linalg.vector_norm(value.detach(), dim=0 if writes else 1))
    return float((torch.cat(lengths) - 1).abs().max()) < 1e-5 and bool(r.first.companions)


def uses_the_size_of_alpha(r: Recipe) -> bool:
    """Whether a negative alpha is as good as a positive one."""
    run, tokens, found = r.first, torch.arange(8)[None], []
    alpha = run.assembly.params["blocks.0.attention.connection.alpha"]
    with torch.no_grad():
        for _ in range(2):
            found.append(run.model.logits(tokens, run.dials.values))
            alpha.neg_()
    return torch.allclose(*found, atol=1e-6)


def one_for_all_heads(r: Recipe) -> bool:
    shapes = {part.shape for part in r.parts if part.path.endswith("s_qk")}
    layers = sum(part.path.endswith("s_qk") for part in r.parts)
    return shapes == {(r.config.model.head_dim,)} and layers == r.config.model.depth


def m(r: Recipe) -> float:
    return r.config.model.dim / float(r.plugins["mup"]["base"])


def muped(pattern: str, true: Callable[[Recipe], bool]) -> Rule:
    return words(pattern, lambda r: "mup" in r.plugins and true(r))


def rates(r: Recipe, role: str) -> set[float]:
    same = [part for part in r.parts if (part.role == "matrix") == (role == "matrix")]
    return {round(part.lr / r.config.optim.lr, 9) for part in same}


def decays(r: Recipe, role: str, factor: float) -> bool:
    """As multiples of the run's decay, which may be zero: asked of the rules."""
    rules = r.run.assembly.rules
    same = [part.path for part in r.parts if (part.role == "matrix") == (role == "matrix")]
    return all(abs(rules[path].weight_decay - factor) < 1e-9 for path in same)


def hidden_stds(r: Recipe) -> bool:
    wide, narrow = 0.02 / m(r) ** 0.5, 0.02 / m(r) ** 0.5 / (2 * r.config.model.depth) ** 0.5
    reads = r.stds("attention.q.weight", "attention.k.weight", "attention.v.weight", "mlp.up.weight", "mlp.gate.weight")
    writes = r.stds("attention.out.weight", "mlp.down.weight")
    return all(abs(v / wide - 1) < 0.03 for v in reads) and all(abs(v / narrow - 1) < 0.03 for v in writes)


REPLICATION: dict[str, Rule] = {
    "init.scaler_used.alpha": used("alpha"),
    "init.scaler_used.qk_u_v_z": used("s_qk s_u s_v s_z"),
    "shape.scaler_qk": ngpt("^64, one per layer, shared by heads and by q and k$", one_for_all_heads),
    "arch.alpha_abs": ngpt("^absolute value of alpha is used$", uses_the_size_of_alpha),
    "poststep": ngpt("^rows of embedding, head, q, k, v, MLP-in; columns of attn-out and MLP-out", on_the_sphere),
    "val.every": Rule(lambda r, fact: r.steps // r.config.evals if fact.value == "125" else None),
    "vocab.used": words("^50257$", lambda r: r.config.data.source == "fineweb10B"),
    "width_multiplier": muped("^m = width/base$", lambda r: rates(r, "matrix") == {round(1 / m(r), 9)}),
    "base_width.training": number(lambda r: float(r.plugins["mup"]["base"])),
    "base_width.lr_sweep": number(lambda r: float(r.plugins["mup"]["base"])),
    "optim.hidden.lr": muped("^lr/m$", lambda r: rates(r, "matrix") == {round(1 / m(r), 9)}),
    "optim.hidden.weight_decay": muped(r"^wd\*m$", lambda r: decays(r, "matrix", m(r))),
    "optim.embed_head_scalers.lr": muped("^lr$", lambda r: rates(r, "other") == {1.0}),
    "optim.embed_head_scalers.weight_decay": muped("^wd$", lambda r: decays(r, "other", 1.0)),
    "init.hidden": muped(r"^N\(0,\(0.02/sqrt\(m\)\)\^2\), residual outputs also /sqrt\(2L\)$", hidden_stds),
    "init.embed": muped(r"^N\(0,0.02\^2\)$", lambda r: abs(r.stds("embedding.weight")[0] / 0.02 - 1) < 0.03),
    "init.head": muped("^zero$", lambda r: r.stds("head.out.weight") == [0.0]),
    "forward": muped(
        "^final hidden divided by m before the head; nothing else$",
        lambda r: abs(r.first.model.head.factor * m(r) - 1) < 1e-9,  # type: ignore[union-attr,operator]
    ),
    "sweep.widths": words(r"\b64\b", lambda r: r.config.model.dim in (64, 768)),
    "sweep.layers": number(lambda r: r.config.model.depth),
    "sweep.head_dim": number(lambda r: r.config.model.head_dim),
    "sweep.vocab": number(lambda r: r.config.model.vocab),
    "sweep.ctx": number(lambda r: r.config.model.context),
    "sweep.batch": number(lambda r: r.config.batch_tokens // r.config.model.context),
    "sweep.steps": number(lambda r: r.steps),
    "sweep.weight_decay": number(lambda r: r.config.optim.weight_decay),
}
