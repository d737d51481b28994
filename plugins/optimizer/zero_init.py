"""Start every projection into the residual stream at zero, so that the model begins as embedding and head.

Initial `W = 0` for the attention outputs and the MLP's down projections (expert stacks included): every
block is the identity at step 0 and the first logits are `head(norm(embedding))`. With `head` the head starts
at zero too: all logits are 0 and the first loss is exactly ln(vocab).

Suggested settings: the defaults with AdamW; `head: true` with Muon and an untied head.
When it hurts / conflicts: a rule that keeps a weight's norm (nGPT, hyperball) cannot leave zero. Behind a zero
projection no gradient reaches a block's inner weights in the first step.
Source: Goyal et al. 2017, arXiv:1706.02677; Yang et al. 2022, arXiv:2203.03466; modded-nanogpt records 5 and 8.
"""

from collections.abc import Generator

import torch
from torch import nn

from coregpt.api import ParamInfo, ParamRule, Plugin, PluginError, Site, hookimpl


class ZeroInit(Plugin):
    head: bool = False
    """The head starts at zero as well."""

    @hookimpl(wrapper=True)
    def make_head(self, at: Site) -> Generator[None, nn.Module, nn.Module]:
        if self.head and at.shape.tied:
            raise PluginError("zero_init: 'head' needs a head of its own, but model.tied is true")
        return (yield)

    @hookimpl
    def add_param_rules(self, param: ParamInfo) -> ParamRule | None:
        zero = param.writes or (self.head and param.role == "head")
        return ParamRule(init=torch.zeros_like) if zero else None
