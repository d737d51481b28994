"""Each law catches a plugin made to break it: a law that cannot fail would prove nothing."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.lab.laws import laws
from coregpt.lab.laws.building import documented, leaves_global_randomness_alone, works_in_every_study
from coregpt.lab.laws.fair import FAIR
from coregpt.lab.laws.ranks import two_ranks_equal_one
from coregpt.lab.laws.seeing import keeps_to_masks, sees_no_future
from coregpt.lab.laws.training import resumes_to_the_bit
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
    "works_in_every_study": """
        class Bad(Plugin):
            @hookimpl
            def make_attend(self, at):
                return Narrow(at)

        class Narrow(nn.Module):
            def __init__(self, at):
                super().__init__()
                self.rules = at.masks()

            def forward(self, q, k, v, x, ctx):
                mask = ctx.masks[self.rules]
                return v if mask is None else v * mask[..., 0, :, None, None, None]
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
    "slopes_are_derivatives": """
        class Half(nn.Module):
            def forward(self, logits, ctx):
                return logits / 2

            def slope(self, logits, bent):
                return logits

        class Bad(Plugin):
            @hookimpl
            def add_logit_transforms(self, at):
                return Half()
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
def plugin(tmp_path: Path) -> Callable[[str], laws.LawCase]:
    def make(text: str, head: str = HEAD) -> laws.LawCase:
        path = tmp_path / "bad.py"
        path.write_text(head + textwrap.dedent(text))
        return laws.LawCase(Catalogue(files=[path]), "bad")

    return make


RAISING = [law for law in laws.LAWS if law is not keeps_to_masks and law not in FAIR]
"""Those of fairness have techniques that break them in `test_fair`."""


@pytest.mark.parametrize("law", RAISING, ids=lambda law: law.__name__)
def test_a_law_catches_its_breaker(law: laws.Law, plugin: Callable[..., laws.LawCase]) -> None:
    head = '"""Nothing said."""\n' + HEAD.split('"""')[2] if law is documented else HEAD
    with pytest.raises(laws.LawError):
        law(plugin(BROKEN[law.__name__], head))


def test_check_reports_every_law_of_a_good_plugin_with_what_it_measured() -> None:
    lines: list[str] = []
    assert laws.check("relu2", lines.append), lines
    assert len(lines) == len(laws.LAWS)
    assert all(line.startswith("ok    ") for line in lines)
    for name in ("sees no future", "rows do not meet", "keeps to masks", "two ranks equal one", "counts agree"):
        assert any(line.startswith(f"ok    {name}: ") and ", limit " in line for line in lines)


BEARS_NOT = {
    "window": "if ctx.documents is None and MASK is not None: raise ValueError(1)",
    "documents": "if ctx.documents is not None: raise ValueError(1)",
    "bf16": "if q.dtype != v.dtype or v.dtype == torch.bfloat16: raise ValueError(1)",
    "random": "if ctx.model.embedding.__class__.__name__ == 'Dropped': raise ValueError(1)",
}


@pytest.mark.parametrize("around", BEARS_NOT)
def test_what_works_in_the_plain_model_only_is_caught_and_other_laws_go_on_without(
    plugin: Callable[..., laws.LawCase], around: str
) -> None:
    case = plugin(f"""
        class Picky(nn.Module):
            def __init__(self, at):
                super().__init__()
                self.rules = at.masks()

            def forward(self, q, k, v, x, ctx):
                MASK = ctx.masks[self.rules]
                {BEARS_NOT[around]}
                return v

        class Bad(Plugin):
            @hookimpl
            def make_attend(self, at):
                return Picky(at)
    """)
    lines: list[str] = []
    assert not laws.check_case(case, lines.append, [works_in_every_study, sees_no_future])
    assert lines[0].startswith("FAIL  works in every study: ")
    assert re.search(r"bad.py:\d+: ValueError: 1$", lines[0])
    assert case.broken == {around}
    assert lines[1].startswith("ok    sees no future: ")


def test_attention_that_ignores_masks_is_a_limit_that_is_told(plugin: Callable[..., laws.LawCase]) -> None:
    case = plugin("""
        class Past(nn.Module):
            def forward(self, q, k, v, x, ctx):
                return v.cumsum(1) / 10

        class Bad(Plugin):
            @hookimpl
            def make_attend(self, at):
                return Past()
    """)
    lines: list[str] = []
    assert laws.check_case(case, lines.append, [keeps_to_masks])
    assert lines[0].startswith("note  keeps to masks: with data.document_mask tokens of another document still move ")
    assert "under a window of 2 tokens" in lines[0]


def test_torchs_own_dropout_is_told_to_be_random_and_not_to_see_the_future(
    plugin: Callable[..., laws.LawCase],
) -> None:
    case = plugin("""
        class Drop(nn.Module):
            def forward(self, logits, ctx):
                return nn.functional.dropout(logits, 0.1, self.training)

        class Bad(Plugin):
            @hookimpl
            def add_logit_transforms(self, at):
                return Drop()
    """)
    lines: list[str] = []
    some = [leaves_global_randomness_alone, sees_no_future, resumes_to_the_bit]
    assert not laws.check_case(case, lines.append, some)
    assert lines[0].startswith(
        "FAIL  leaves global randomness alone: it draws from torch's global random generator in "
    )
    assert "at.random" in lines[0]
    assert lines[1].startswith("ok    sees no future")
    assert lines[2] == "skip  resumes to the bit: its numbers come from a global generator"


def test_a_plugin_that_does_not_build_is_told_once_with_its_line(plugin: Callable[..., laws.LawCase]) -> None:
    case = plugin("""
        class Bad(Plugin):
            @hookimpl
            def make_mlp(self, at):
                return 1 / 0
    """)
    lines: list[str] = []
    assert not laws.check_case(case, lines.append)
    assert len(lines) == 3
    assert re.search(
        r"^FAIL  works in every study: plugin 'bad' \(.*bad.py:13\): make_mlp: ZeroDivisionError", lines[1]
    )
    assert lines[2] == "No other law was tested."


EIGEN = """
    class Turned:
        lr, weight_decay = 1.0, 0.0

        def init(self, p):
            side = p.shape[-2]
            return {{"cov": p.new_zeros(len(p), side, side), "second": torch.zeros_like(p)}}

        def direction(self, p, g, state, dials):
            g = g * {factor}
            state["cov"].add_(g @ g.mT)
            _, basis = torch.linalg.eigh(state["cov"])
            turned = basis.mT @ g
            state["second"].lerp_(turned.square(), 0.1)
            return {direction}

    class Bad(Plugin):
        rounding_sensitive = "eigenvalues of a sum of few outer products meet at 0, and their vectors are anything"

        @hookimpl
        def make_update(self, group):
            return Turned() if group.role == "matrix" else None
"""
STEP = "basis @ (turned / (state['second'].sqrt() + 1e-8))"


def test_an_eigenbasis_that_declares_itself_is_compared_with_what_one_rounding_does(
    plugin: Callable[..., laws.LawCase],
) -> None:
    said = two_ranks_equal_one(plugin(EIGEN.format(factor="1", direction=STEP)))
    assert said is not None
    assert "limit" in said
    assert "one rounding of the gradients: " in said


RANK = "(torch.distributed.is_initialized() and torch.distributed.get_rank())"


@pytest.mark.parametrize(
    ("factor", "direction"),
    [(f"(1 - 0.5 * {RANK})", "g"), (f"(1 - 1e-6 * {RANK})", "(g * 1e12).sin()")],
    ids=["ranks that disagree", "ranks that disagree in noise"],
)
def test_declaring_it_is_no_way_round_the_law(plugin: Callable[..., laws.LawCase], factor: str, direction: str) -> None:
    with pytest.raises(laws.LawError, match=r"differs by .* between 1 and 2 ranks"):
        two_ranks_equal_one(plugin(EIGEN.format(factor=factor, direction=direction)))
