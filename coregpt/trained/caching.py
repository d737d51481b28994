"""The next token's logits from the new tokens alone: keys and values of earlier ones are kept, not computed again.

Only for models of whose parts every one is core's own: those act on each token by itself, but for attention, which is
causal and nothing else. What a technique's part looks at nobody can know, so such a model is computed whole each time,
as every model is by `sampling.whole_row`, which this must agree with.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from coregpt.contract.context import Context
from coregpt.engine.model.gpt import GPT
from coregpt.engine.model.parts import Attend
from coregpt.trained.opening import Trained

OWN = ("coregpt.engine.", "torch.nn.")
"""Where classes of core's parts are."""
UNUSED = ("loss", "extra_losses")
"""Parts that logits do without."""


def cannot(model: Trained) -> str:
    """Why a model's earlier tokens cannot be kept; "" if they can."""
    gpt = model.made.model
    for path, part in gpt.named_modules():
        kind = type(part)
        if path.partition(".")[0] not in UNUSED and not kind.__module__.startswith(OWN):
            return f"{path} is a technique's part ({kind.__name__})"
        if isinstance(part, Attend) and (part.scores or part.watched):
            return f"{path} has score rules, or is watched"
    if any(gpt.mask_rules.values()):
        return "attention has masks beside the causal one"
    return "" if gpt.positions is not None else "it has no table of positions"


class Cached:
    """Logits (V,) of the token after those that were seen, which grow from call to call."""

    def __init__(self, model: Trained):
        self.model = model
        self.seen: list[int] = []
        self.kept: dict[nn.Module, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def __call__(self, seen: Sequence[int]) -> Tensor:
        """`seen` begins with what was seen before, or all is computed anew; the context's length at most."""
        if list(seen[: len(self.seen)]) != self.seen or len(seen) == len(self.seen):
            self.seen, self.kept = [], {}
        first, new = len(self.seen), torch.tensor([list(seen[len(self.seen) :])], device=self.model.device)
        self.seen = list(seen)
        gpt = self.model.made.model
        attending = [part for part in gpt.modules() if isinstance(part, Attend)]
        hooks = [part.register_forward_pre_hook(self._with_earlier) for part in attending]
        try:
            return _logits(gpt, new, first, self.model.made.dials.values)[0, -1].float()
        finally:
            for hook in hooks:
                hook.remove()

    def _with_earlier(self, part: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        q, k, v, *rest = given
        if part in self.kept:
            k, v = (torch.cat(both, 1) for both in zip(self.kept[part], (k, v), strict=True))
        self.kept[part] = k, v
        return q, k, v, *rest


def _logits(gpt: GPT, tokens: Tensor, first: int, dials: Any) -> Tensor:
    """As `GPT.logits`, of tokens (1, T) that stand from `first` on."""
    count = tokens.shape[1]
    places = torch.arange(first, first + count, device=tokens.device)
    earlier = torch.arange(first + count, device=tokens.device)
    allowed = (earlier <= places[:, None])[None, None]
    ctx = Context(tokens, dict(dials), positions=places[None], masks=dict.fromkeys(gpt.mask_rules, allowed), model=gpt)
    x = gpt.embedding(tokens, ctx)
    if gpt.positions is not None:
        x = x + gpt.positions(first + count)[first:]
    return gpt.logits_of(gpt.final_norm(gpt.stack(gpt.entry_norm(x), ctx)), ctx)
