"""What of NanoPoor can be compared with a fact."""

from tests.recipes.built import Part, Recipe
from tests.recipes.facts import Fact
from tests.recipes.rules import Rule, innermost, is_muon, number, sized, words

WHOLE = ("embedding.weight", "attention.out.weight", "mlp.up.weight", "mlp.down.weight", "router.weight", "k_up.weight")


def dense(part: Part) -> bool:
    return ".mlp." in part.path and part.path.endswith(("up.weight", "down.weight")) and len(part.shape) == 2


def adamw(r: Recipe, fact: Fact) -> bool | None:
    if fact.value != "betas 0.9,0.95 wd 0.1":
        return None
    rules = {(innermost(p.rule).beta1, innermost(p.rule).beta2, p.weight_decay) for p in r.parts if not is_muon(p)}
    return rules == {(0.9, 0.95, 0.1)}


def first_stds(r: Recipe, fact: Fact) -> float:
    return max(r.stds(*WHOLE), key=lambda value: abs(value - fact.numbers[0]))


NANOPOOR: dict[str, Rule] = {
    "params.trainable": sized(lambda part: True),
    "params.mlp_dense": sized(dense),
    "params.experts": sized(lambda part: ".mlp." in part.path and len(part.shape) == 3),
    "params.router": sized(lambda part: part.path.endswith("router.weight")),
    "arch.experts": number(lambda r: r.plugins["moe"]["experts"]),
    "arch.topk": words(r"^4 of E \(1 shared \+ 3\)", lambda r: r.plugins["moe"]["active"] == 4),
    "init.std.all_linear_and_embed": Rule(first_stds, 0.03),
    "optim.adamw": Rule(adamw),
    "optim.adamw.params": sized(lambda part: not is_muon(part)),
}
