"""Experts that choose their tokens look at later ones: nobody may train with them unnoticed."""

from pathlib import Path

import pytest

from coregpt.lab.laws.law_case import LawCase, LawError
from coregpt.lab.laws.seeing import sees_no_future
from coregpt.lab.study.registry import Catalogue

TEXT = '''"""Each of `experts` MLPs takes the tokens of a row that score highest with it, an equal share of them.

Source: Zhou et al. 2022, arXiv:2202.09368.
"""

import torch
from torch import Tensor, nn

from coregpt.api import MLP, Context, Plugin, Site, hookimpl


class Choosing(nn.Module):
    def __init__(self, at: Site, experts: int):
        super().__init__()
        self.router = at.linear("router", at.shape.dim, experts, role="gate")
        self.experts = nn.ModuleList(MLP(at.child(f"expert_{i}")) for i in range(experts))

    def forward(self, x: Tensor, ctx: Context) -> Tensor:
        scores = self.router(x).softmax(-1)
        take = max(1, x.shape[1] // len(self.experts))
        y = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            weight, chosen = scores[..., i].topk(take, 1)
            index = chosen.unsqueeze(-1).expand(-1, -1, x.shape[-1])
            y = y.scatter_add(1, index, weight.unsqueeze(-1) * expert(x.gather(1, index), ctx))
        return y


class ExpertChoice(Plugin):
    experts: int = 4
    """How many."""

    @hookimpl
    def make_mlp(self, at: Site) -> nn.Module:
        return Choosing(at, self.experts)
'''


def test_expert_choice_is_refused_by_the_law_that_no_logit_sees_the_future(tmp_path: Path) -> None:
    file = tmp_path / "expert_choice.py"
    file.write_text(TEXT)
    with pytest.raises(LawError, match=r"moved by .* when later tokens changed"):
        sees_no_future(LawCase(Catalogue([file]), "expert_choice"))
