"""Each law catches a plugin made to break it: a law that cannot fail would prove nothing."""

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.lab.laws import laws
from coregpt.lab.study.registry import Catalogue

HEAD = '''
"""A plugin that breaks a law.

Source: nobody.
"""
import torch
from torch import nn
from coregpt.api import Companion, ParamRule, Plugin, hookimpl
'''

BROKEN = {
    "documented": """
        class Bad(Plugin):
            size: int = 1
    """,
    "leaves_global_randomness_alone": """
        class Bad(Plugin):
            @hookimpl
            def make_norm(self, dim):
                torch.randn(1)
    """,
    "sees_no_future": """
        class Peek(nn.Module):
            def forward(self, logits, ctx):
                return logits + 0.01 * logits.mean(1, keepdim=True)

        class Bad(Plugin):
            @hookimpl
            def add_logit_transforms(self, at):
                return Peek()
    """,
    "rows_do_not_meet": """
        class NextRow(nn.Module):
            def forward(self, logits, ctx):
                answer = nn.functional.one_hot(ctx.tokens[:, 0].roll(-1), logits.shape[-1])
                hint = nn.functional.pad(answer.unsqueeze(1), (0, 0, logits.shape[1] - 1, 0))
                return logits + hint

        class Bad(Plugin):
            @hookimpl
            def add_logit_transforms(self, at):
                return NextRow()
    """,
    "evaluation_leaves_no_trace": """
        class Memory(nn.Module):
            def __init__(self):
                super().__init__()
                self.seen = {}

            def forward(self, logits, ctx):
                if self.training or logits.device.type == "meta":
                    return logits
                out = logits.clone()
                for b, row in enumerate(ctx.tokens.tolist()):
                    for t in range(len(row) - 1):
                        if (known := self.seen.get(tuple(row[: t + 1]))) is not None:
                            out[b, t, known] += 5
                        self.seen[tuple(row[: t + 1])] = row[t + 1]
                return out

        class Bad(Plugin):
            @hookimpl
            def add_logit_transforms(self, at):
                return Memory()
    """,
    "neutral_setting_does_nothing": """
        class Scale(nn.Module):
            def forward(self, logits, ctx):
                return logits * 1.0001

        class Bad(Plugin):
            neutral = {}

            @hookimpl
            def add_logit_transforms(self, at):
                return Scale()
    """,
    "loss_falls": """
        class Bad(Plugin):
            @hookimpl
            def add_param_rules(self, param):
                return ParamRule(lr=0.0)
    """,
    "one_graph": """
        class Branch(nn.Module):
            def forward(self, logits, ctx):
                return logits if logits.sum().item() > 0 else logits * 2

        class Bad(Plugin):
            @hookimpl
            def add_logit_transforms(self, at):
                return Branch()
    """,
    "resumes_to_the_bit": """
        class Forgetful(Companion):
            def __init__(self, run):
                self.run, self.updates = run, 0

            def after_update(self, clock):
                self.updates += 1
                self.run.params["head.out.weight"].mul_(1 - 0.001 * self.updates)

        class Bad(Plugin):
            @hookimpl
            def add_companions(self, run):
                return Forgetful(run)
    """,
    "every_parameter_in_one_group": """
        class Mover(Companion):
            def __init__(self, run):
                head = run.params["head.out.weight"]
                head.data = head.data.clone()

        class Bad(Plugin):
            @hookimpl
            def add_companions(self, run):
                return Mover(run)
    """,
    "counts_agree": """
        class Extra(nn.Module):
            def forward(self, logits, ctx):
                if logits.device.type == "meta":
                    return logits
                small = torch.eye(logits.shape[-1])
                return logits @ small

        class Bad(Plugin):
            @hookimpl
            def add_logit_transforms(self, at):
                return Extra()
    """,
    "two_ranks_equal_one": """
        class Local(Companion):
            def __init__(self, run):
                self.run = run

            def after_update(self, clock):
                import torch.distributed as dist
                if dist.is_initialized():
                    self.run.params["head.out.weight"].mul_(0.9)

        class Bad(Plugin):
            @hookimpl
            def add_companions(self, run):
                return Local(run)
    """,
}


@pytest.fixture
def subject(tmp_path: Path) -> Callable[[str], laws.LawCase]:
    def make(law: str) -> laws.LawCase:
        package = tmp_path / "bad_plugins"
        package.mkdir()
        (package / "__init__.py").write_text("")
        head = '"""Nothing said."""\n' + HEAD.split('"""')[2] if law == "documented" else HEAD
        (package / "bad.py").write_text(head + textwrap.dedent(BROKEN[law]))
        return laws.LawCase(Catalogue(files=[package / "bad.py"]), "bad")

    return make


@pytest.mark.parametrize("law", laws.LAWS, ids=lambda law: law.__name__)
def test_a_law_catches_its_breaker(law: Callable[[laws.LawCase], None], subject: Callable[[str], laws.LawCase]) -> None:
    with pytest.raises(laws.LawError):
        law(subject(law.__name__))


def test_check_reports_every_law_of_a_good_plugin() -> None:
    lines: list[str] = []
    assert laws.check("relu2", lines.append)
    assert len(lines) == len(laws.LAWS)
    assert all(line.startswith("ok") for line in lines)
