"""GPT: embedding -> stack of blocks -> final norm -> head -> logit transforms -> loss."""

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from coregpt.contract.context import Context
from coregpt.contract.errors import PluginError
from coregpt.contract.record import Record, quoted
from coregpt.contract.rules import Dials
from coregpt.contract.site import Assembly, Site
from coregpt.engine.arithmetic import chunked
from coregpt.engine.attention.attend import build_mask
from coregpt.engine.attention.masks import document_numbers
from coregpt.engine.model.parts import Head, Linear, NextToken


class GPT(nn.Module):
    """The whole model. Every part below was decided while it was built; nothing is looked up later."""

    def __init__(self, assembly: Assembly, separator: int | None):
        """`separator` is the id that opens a document when attention must stay inside documents."""
        super().__init__()
        root = Site(assembly, "")
        shape = assembly.shape
        self.separator = separator
        self.vocab = shape.vocab
        self.embedding = root.part("embedding")
        self.built: dict[int, nn.Module] = {}
        self.stack = root.ask("make_stack", root.child("stack"), block=self._block_at(root))
        self.entry_norm = root.norm("entry_norm", shape.dim)
        self.final_norm = root.norm("final_norm", shape.dim)
        self.head = root.part("head")
        hook = assembly.hook
        self.transforms = nn.ModuleList(hook.add_logit_transforms(at=root.child("logits")))
        self.loss = root.part("loss")
        self.extra_losses = nn.ModuleDict()
        for name, loss in _by_name(hook.add_losses(at=root.child("losses")), assembly.record):
            self.extra_losses[name] = loss
        extra = any(getattr(loss, "needs_logits", True) for loss in self.extra_losses.values())
        self.needs_logits = extra or getattr(self.loss, "needs_logits", True)
        self.bends = None if extra else self._bends()
        self.live = assembly.live
        self.positions: nn.Module | None = assembly.shared.get("positions")
        self.mask_rules = assembly.masks
        self.mask_heads = assembly.mask_heads

    def _block_at(self, root: Site) -> Callable[[int], nn.Module]:
        record, builders = root.assembly.record, dict[int, str]()

        def block(layer: int) -> nn.Module:
            first = builders.setdefault(layer, record.turn)
            if first != record.turn:
                names = " and ".join(map(quoted, (first, record.turn)))
                raise PluginError(f"make_stack at 'stack': claimed by {names}; enable only one of them there")
            if layer in self.built or not 0 <= layer < root.shape.depth:
                raise PluginError(
                    f"make_stack: block({layer}) of a model with {root.shape.depth} layers, each built once"
                )
            self.built[layer] = root.ask("make_block", root.child(f"blocks.{layer}", layer=layer))
            return self.built[layer]

        return block

    @property
    def blocks(self) -> list[nn.Module]:
        """Every block that the stack built, by layer."""
        return [self.built[layer] for layer in sorted(self.built)]

    def logits(self, tokens: Tensor, dials: Dials) -> Tensor:
        """Logits (B, T, V) in fp32 for tokens (B, T): what evaluation measures."""
        ctx = self.live.ctx = self._context(tokens, dials)
        logits = self.logits_of(self._hidden(tokens, ctx), ctx)
        self.live.ctx = None
        return logits

    def forward(
        self, tokens: Tensor, targets: Tensor, dials: Dials, starts: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Training loss (scalar) and scalars to log, for tokens and targets (B, T).

        `starts` (B,) int64: where each row begins in all that the run trains on, which random numbers depend on.
        """
        ctx = self.live.ctx = self._context(tokens, dials, starts)
        ctx.hidden = self._hidden(tokens, ctx)
        if self.in_chunks(tokens):
            logits, main = None, self._loss_in_chunks(ctx.hidden, targets, ctx)
        else:
            logits = self.logits_of(ctx.hidden, ctx) if self.needs_logits else None
            main = self.loss(logits, targets, ctx)
        loss = main
        for name, extra in self.extra_losses.items():
            ctx.losses[name] = extra(logits, targets, ctx)
        for value in ctx.losses.values():
            loss = loss + value
        self.live.ctx = None
        logged = {"loss": main, **ctx.losses, **ctx.metrics}
        return loss, {name: value.detach() for name, value in logged.items()}

    def _bends(self) -> list[Any] | None:
        """The logit transforms, where head and loss are core's own and nobody else wants the logits; else None."""
        own = type(self.loss) is NextToken and type(self.head) is Head and type(self.head.out) is Linear
        return chunked.bends(self.transforms) if own else None

    def in_chunks(self, tokens: Tensor) -> bool:
        """Whether the loss of so many tokens is taken without keeping their logits."""
        return self.bends is not None and chunked.too_many(tokens, self.vocab)

    def _loss_in_chunks(self, hidden: Tensor, targets: Tensor, ctx: Context) -> Tensor:
        """What `loss` would say of logits that are too many to be made whole."""
        weight: Tensor = self.head.out.weight  # type: ignore[union-attr,assignment]
        assert self.bends is not None
        return chunked.next_token_loss(hidden.flatten(0, 1), weight, targets.flatten(), self.bends, ctx)

    def logits_of(self, hidden: Tensor, ctx: Context) -> Tensor:
        """Logits (B, T, V) in fp32 of final hidden states (B, T, dim)."""
        logits: Tensor = self.head(hidden).float()
        for transform in self.transforms:
            logits = transform(logits, ctx)
        return logits

    def masks(self, ctx: Context) -> dict[Hashable, Any]:
        """Every distinct mask of the model, for the tokens of `ctx`."""
        return {
            key: build_mask(rules, ctx, ctx.positions, self.mask_heads[key]) for key, rules in self.mask_rules.items()
        }

    def _context(self, tokens: Tensor, dials: Dials, starts: Tensor | None = None) -> Context:
        documents = None if self.separator is None else document_numbers(tokens, self.separator)
        ctx = Context(tokens, dict(dials), documents, training=self.training, starts=starts, model=self)
        ctx.masks = self.masks(ctx)
        return ctx

    def _hidden(self, tokens: Tensor, ctx: Context) -> Tensor:
        x = self.embedding(tokens, ctx)
        if self.positions is not None:
            x = x + self.positions(tokens.shape[1])
        hidden: Tensor = self.final_norm(self.stack(self.entry_norm(x), ctx))
        return hidden


def _by_name(answers: list[Mapping[str, nn.Module]], record: Record) -> Iterator[tuple[str, nn.Module]]:
    """(name, loss) of all answers to `add_losses`. Raises PluginError, naming both, for two of one name."""
    owner: dict[str, Mapping[str, nn.Module]] = {}
    for losses in answers:
        for name, loss in losses.items():
            if name in owner:
                names = " and by ".join(map(quoted, record.givers([owner[name], losses])))
                raise PluginError(f"add_losses: '{name}' is given by {names}; give each loss a name of its own")
            owner[name] = losses
            yield name, loss
