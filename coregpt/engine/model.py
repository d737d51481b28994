"""GPT: embedding -> blocks -> final norm -> head -> logit transforms -> loss."""

from typing import Any

from torch import Tensor, nn

from coregpt.contract.context import Context
from coregpt.contract.rules import Dials
from coregpt.contract.site import Assembly, Site
from coregpt.engine.attention import build_mask
from coregpt.engine.masks import document_numbers


class GPT(nn.Module):
    """The whole model. Every part below was decided while it was built; nothing is looked up later."""

    def __init__(self, assembly: Assembly, separator: int | None):
        """`separator` is the id that opens a document when attention must stay inside documents."""
        super().__init__()
        root = Site(assembly, "")
        shape = assembly.shape
        self.separator = separator
        self.embedding = root.part("embedding")
        sites = [root.child(f"blocks.{layer}", layer=layer) for layer in range(shape.depth)]
        self.blocks = nn.ModuleList(root.ask("make_block", at) for at in sites)
        self.entry_norm = root.norm("entry_norm", shape.dim)
        self.final_norm = root.norm("final_norm", shape.dim)
        self.head = root.part("head")
        hook = assembly.hook
        self.transforms = nn.ModuleList(hook.add_logit_transforms(at=root.child("logits")))
        self.loss = root.part("loss")
        self.extra_losses = nn.ModuleDict()
        for losses in hook.add_losses(at=root.child("losses")):
            self.extra_losses.update(losses)
        self.positions: nn.Module | None = assembly.shared.get("positions")
        self.mask_rules = assembly.masks
        self.mask_heads = assembly.mask_heads

    def logits(self, tokens: Tensor, dials: Dials) -> Tensor:
        """Logits (B, T, V) in fp32 for tokens (B, T): what evaluation measures."""
        return self._logits(tokens, self._context(tokens, dials))

    def forward(self, tokens: Tensor, targets: Tensor, dials: Dials) -> tuple[Tensor, dict[str, Tensor]]:
        """Training loss (scalar) and scalars to log, for tokens and targets (B, T)."""
        ctx = self._context(tokens, dials)
        logits = self._logits(tokens, ctx)
        loss = main = self.loss(logits, targets, ctx)
        for name, extra in self.extra_losses.items():
            ctx.losses[name] = extra(logits, targets, ctx)
        for value in ctx.losses.values():
            loss = loss + value
        logged = {"loss": main, **ctx.losses, **ctx.metrics}
        return loss, {name: value.detach() for name, value in logged.items()}

    def _context(self, tokens: Tensor, dials: Dials) -> Context:
        documents = None if self.separator is None else document_numbers(tokens, self.separator)
        ctx = Context(tokens, dict(dials), documents)
        for key, rules in self.mask_rules.items():
            ctx.masks[key] = build_mask(rules, ctx, heads=self.mask_heads[key])
        return ctx

    def _logits(self, tokens: Tensor, ctx: Context) -> Tensor:
        x = self.embedding(tokens, ctx)
        if self.positions is not None:
            x = x + self.positions(tokens.shape[1])
        x = self.entry_norm(x)
        for block in self.blocks:
            x = block(x, ctx)
        logits: Any = self.head(self.final_norm(x)).float()
        for transform in self.transforms:
            logits = transform(logits, ctx)
        return logits
