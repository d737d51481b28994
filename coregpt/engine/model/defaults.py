"""Core's own answers: the innermost wrapper of every `make_*` and `add_*` hook.

pluggy's `firstresult` would stop at the first answer and hide a second claimant. Here every hook returns all
answers, and this wrapper, which every plugin's wrapper surrounds, makes one of them: none -> the default,
one -> that one, more -> an error that names them.
"""

from collections.abc import Callable, Generator
from typing import Any

from torch import nn

from coregpt.contract.config import OptimConfig
from coregpt.contract.errors import PluginError
from coregpt.contract.heads import Heads
from coregpt.contract.plugin import HookManager, hookimpl
from coregpt.contract.rules import DecayRule, ParamGroup, UpdateRule
from coregpt.contract.site import Site
from coregpt.engine.attention.masks import SameDocument
from coregpt.engine.model import parts
from coregpt.engine.training.updates import AdamW, Decoupled

Asked = Generator[None, list[Any], Any]
innermost = hookimpl(wrapper=True, trylast=True)


class Defaults:
    """Registered first, so that it is asked last and wrapped by everybody."""

    def __init__(self, manager: HookManager, optim: OptimConfig, document_mask: bool):
        self.manager = manager
        self.optim = optim
        self.document_mask = document_mask

    def one(self, hook: str, answers: list[Any], default: Callable[[], Any], place: str) -> Any:
        """The only answer, the default if there is none, an error that names the claimants otherwise."""
        if not answers:
            return default()
        if len(answers) == 1:
            return answers[0]
        names = " and ".join(f"'{name}'" for name in self.manager.record.givers(answers))
        raise PluginError(f"{hook} at '{place}': claimed by {names}; enable only one of them there")

    def part(self, hook: str, answers: list[Any], at: Site, default: Callable[[], nn.Module]) -> Any:
        return self.one(hook, answers, default, at.path)

    @innermost
    def make_embedding(self, at: Site) -> Asked:
        return self.part("make_embedding", (yield), at, lambda: parts.TokenEmbedding(at))

    @innermost
    def make_block(self, at: Site) -> Asked:
        return self.part("make_block", (yield), at, lambda: parts.Block(at))

    @innermost
    def make_stack(self, at: Site, block: Callable[[int], nn.Module]) -> Asked:
        return self.part("make_stack", (yield), at, lambda: parts.Stack(at, block))

    @innermost
    def make_connection(self, at: Site) -> Asked:
        return self.part("make_connection", (yield), at, parts.Residual)

    @innermost
    def make_norm(self, at: Site, dim: int) -> Asked:
        default = nn.Identity if at.name in ("post", "entry_norm") else lambda: parts.RMSNorm(dim)
        return self.part("make_norm", (yield), at, default)

    @innermost
    def make_attention(self, at: Site) -> Asked:
        return self.part("make_attention", (yield), at, lambda: parts.Attention(at))

    @innermost
    def make_position(self, at: Site, dim: int, heads: Heads) -> Asked:
        return self.part("make_position", (yield), at, lambda: parts.LearnedPosition(at))

    @innermost
    def make_attend(self, at: Site, heads: Heads) -> Asked:
        return self.part("make_attend", (yield), at, lambda: parts.Attend(at, heads))

    @innermost
    def make_mlp(self, at: Site) -> Asked:
        return self.part("make_mlp", (yield), at, lambda: parts.MLP(at))

    @innermost
    def make_activation(self, at: Site, width: int) -> Asked:
        return self.part("make_activation", (yield), at, lambda: parts.GELU(width))

    @innermost
    def make_linear(self, at: Site, d_in: int, d_out: int) -> Asked:
        default = lambda: parts.Linear(at, d_in, d_out)  # noqa: E731
        return self.part("make_linear", (yield), at, default)

    @innermost
    def make_head(self, at: Site) -> Asked:
        return self.part("make_head", (yield), at, lambda: parts.Head(at))

    @innermost
    def make_loss(self, at: Site) -> Asked:
        return self.part("make_loss", (yield), at, parts.NextToken)

    @innermost
    def make_update(self, group: ParamGroup) -> Asked:
        default: Callable[[], UpdateRule] = lambda: AdamW(self.optim, group.betas, group.eps)  # noqa: E731
        return self.one("make_update", (yield), default, group.name)

    @innermost
    def make_decay(self, group: ParamGroup) -> Asked:
        default: Callable[[], DecayRule] = Decoupled
        return self.one("make_decay", (yield), default, group.name)

    @innermost
    def add_masks(self, at: Site) -> Asked:
        core = [SameDocument()] if self.document_mask else []
        return core + in_plugin_order((yield))

    @innermost
    def add_score_rules(self, at: Site, heads: Heads) -> Asked:
        return in_plugin_order((yield))

    @innermost
    def add_logit_transforms(self, at: Site) -> Asked:
        return in_plugin_order((yield))

    @innermost
    def add_losses(self, at: Site) -> Asked:
        return in_plugin_order((yield))

    @innermost
    def add_schedules(self, run: Any) -> Asked:
        return in_plugin_order((yield))

    @innermost
    def add_param_rules(self, param: Any) -> Asked:
        return in_plugin_order((yield))


def in_plugin_order(answers: list[Any]) -> list[Any]:
    """pluggy asks the last registered plugin first; lists are applied first registered first."""
    return answers[::-1]
