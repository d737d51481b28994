"""One line with the plugin's file and line, whichever of its code fails: each hook, and each callable of an answer."""

import re
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from coregpt.contract.config import ModelShape, RunConfig
from coregpt.contract.errors import CoreGPTError
from coregpt.contract.hookspecs import Hooks
from coregpt.engine.build import build
from coregpt.engine.training.trainer import train
from coregpt.lab.execute.worker import explain
from coregpt.lab.laws.tools import Rows, tiny_source
from coregpt.lab.planning.load import load
from coregpt.lab.study.code import blame
from coregpt.lab.study.counting import counted
from coregpt.lab.study.registry import Catalogue
from tests.lab.conftest import Lab

HEAD = '''"""Fails.

Source: nobody.
"""
from typing import Any, ClassVar

import torch
from pydantic import field_validator, model_validator
from torch import nn

from coregpt.api import *


def boom(*given, **named):
    raise KeyError("boom")


class Part(nn.Module):
    inputs, width = 1, 32

    def __init__(self, answer):
        super().__init__()
        self.answer = answer

    def forward(self, *given):
        return self.answer(*given)

    def read(self, x, ctx):
        return x

    def write(self, x, y, ctx):
        return self.answer(x)


class Rule:
    lr, weight_decay = 1e-3, 0.1

    def init(self, p):
        return {}

    def direction(self, p, g, state, dials):
        return g

    def amount(self, p, update, lr, weight_decay, dials):
        return 0 * p


'''
ARGUMENTS = {
    "make_stack": "at, block",
    "make_norm": "at, dim",
    "make_position": "at, dim, heads",
    "make_attend": "at, heads",
    "make_activation": "at, width",
    "make_linear": "at, d_in, d_out",
    "make_update": "group",
    "make_decay": "group",
    "add_score_rules": "at, heads",
    "add_schedules": "run",
    "add_param_rules": "param",
    "add_companions": "run",
}
HOOKS = [name for name in vars(Hooks) if name.startswith(("make_", "add_"))]
PARTS = [name for name in HOOKS if name.startswith("make_") and name not in ("make_update", "make_decay")]


def hook(name: str, body: str, before: str = "", mark: str = "") -> str:
    method = f"@hookimpl{mark}\ndef {name}(self, {ARGUMENTS.get(name, 'at')}):\n{textwrap.indent(body, '    ')}\n"
    return f"{HEAD}{before}class Failing(Plugin):\n{textwrap.indent(method, '    ')}"


def told(lab: Callable[..., Lab], text: str) -> str:
    """What `plan` says of it, without a forecast."""
    made = lab(arms={"gelu": {}, "failing": {"plugins": {"failing": {}}}}, plugin_files=["failing.py"])
    (made.folder / "failing.py").write_text(text)
    with pytest.raises(CoreGPTError) as raised:
        counted(load(made.study))
    return str(raised.value)


def placed(line: str) -> bool:
    return line.count("\n") == 0 and re.search(r"/failing\.py:\d+", line) is not None


@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_that_fails(lab: Callable[..., Lab], name: str) -> None:
    line = told(lab, hook(name, "raise KeyError('boom')"))
    assert placed(line)
    assert f"{name}: KeyError: 'boom'" in line


READS = {
    "while it is built": hook("make_mlp", "w = at.scale('w', (3,), 1.0)\nreturn nn.Softplus(float(w.detach().mean()))"),
    "as a branch": hook("make_mlp", "if at.scale('w', (3,), 1.0).sum() > 0:\n    return None"),
    "as a list": hook("make_mlp", "at.scale('w', (3,), 1.0).tolist()"),
    "in a forward pass": hook("make_mlp", "return Part(lambda x, ctx: x * x.detach().mean().item())"),
    "in a companion": hook("add_companions", "return [float(each.detach().norm()) for each in run.params.values()]"),
}


@pytest.mark.parametrize("where", READS)
def test_a_number_read_where_there_are_only_shapes_is_told_in_words(lab: Callable[..., Lab], where: str) -> None:
    line = told(lab, READS[where])
    assert placed(line)
    assert "a number is read out of a tensor that has only a shape" in line


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("answer", ["boom", "lambda *given: None", "lambda *given: torch.zeros(3, 5, device='meta')"])
def test_a_part_that_fails_or_answers_with_something_else(lab: Callable[..., Lab], name: str, answer: str) -> None:
    """Also where the error is torch's, in a line of core: then the last of the plugin's code to answer is named."""
    assert placed(told(lab, hook(name, f"return Part({answer})")))


COLLECTED = {
    "add_logit_transforms": "Part({})",
    "add_masks": "{}",
    "add_score_rules": "{}",
    "add_losses": "{{'x': Part({})}}",
}


@pytest.mark.parametrize("name", COLLECTED)
@pytest.mark.parametrize("answer", ["boom", "(lambda *given: None)", "(lambda: 1)", "(lambda *given: 3.0)"])
def test_what_is_collected(lab: Callable[..., Lab], name: str, answer: str) -> None:
    assert placed(told(lab, hook(name, f"return {COLLECTED[name].format(answer)}")))


SCHEDULES = {
    "boom": "KeyError",
    "lambda clock: None": "NoneType",
    "lambda clock: 'x'": "str",
    "lambda: 1": "takes 0 positional arguments",
    "Stages((0.5, 1))": "stage ends must rise and the last must be 1",
}


@pytest.mark.parametrize("answer", SCHEDULES)
def test_a_schedule(lab: Callable[..., Lab], answer: str) -> None:
    line = told(lab, hook("add_schedules", f"return {{'dial': {answer}}}"))
    assert placed(line)
    assert SCHEDULES[answer] in line


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ("{'batch_tokens': Stages((1, 7))}", "batch_tokens stage 7 is not a multiple of model.context"),
        ("{'batch_tokens': Stages((1, 'many'))}", "must be Stages of whole numbers"),
        ("{'seq_len': lambda clock: 4}", "must be Stages of whole numbers"),
        ("{'seq_len': Stages((1, 0))}", "seq_len stage 0 is not a length"),
    ],
)
def test_sizes_that_are_none(lab: Callable[..., Lab], sizes: str, message: str) -> None:
    line = told(lab, hook("add_schedules", f"return {sizes}"))
    assert placed(line)
    assert message in line


RULES = {
    "init=boom": "KeyError",
    "init=lambda value: None": "must give a tensor of shape",
    "init=lambda value: value[:1]": "must give a tensor of shape (16, 8), got (1, 8)",
    "role='what'": "one of matrix, embedding",
    "lr='x'": "a ParamRule with lr a number, not 'x'",
    "betas=0.9": "a ParamRule with betas a pair of numbers, not 0.9",
}


@pytest.mark.parametrize("rule", RULES)
def test_a_parameter_rule(lab: Callable[..., Lab], rule: str) -> None:
    line = told(lab, hook("add_param_rules", f"return ParamRule({rule})"))
    assert placed(line)
    assert RULES[rule] in line


SITES = {
    "block(9)": ("make_stack", "block(9) of a model with 1 layers"),
    "at.weight('w', (3, 3), role='q')": ("make_mlp", "has the role 'q'"),
    "at.scale('w', (3,), 1.0)\nat.scale('w', (3,), 1.0)": ("make_mlp", "is made twice by 'failing'"),
    "at.watch('what')": ("make_mlp", "expected one of lse, top"),
    "at.watch('lse')\nreturn nn.Identity()": ("make_mlp", "but no attention there gives it"),
    "at.random('a')\nat.random('a')": ("make_mlp", "are asked for twice"),
    "at.input('teacher')": ("make_mlp", "the input 'teacher', which the run does not have"),
    "return at.part('attend', heads=Heads(3, 2, 4, 4))": ("make_attention", "3 query heads cannot share 2 key heads"),
    "return nn.Linear(3, 3)": ("make_mlp", "parameters not made through at.weight or at.scale by plugin 'failing'"),
}


@pytest.mark.parametrize("body", SITES)
def test_what_core_says_of_a_line_has_the_line(lab: Callable[..., Lab], body: str) -> None:
    name, message = SITES[body]
    line = told(lab, hook(name, body))
    assert placed(line)
    assert message in line


IN_A_FILE = {
    "@hookimpl\ndef make_mpl(self, at): pass": "there is no hook 'make_mpl'; did you mean 'make_mlp'?",
    "@hookimpl\ndef make_mlp(self, at, dim): pass": "make_mlp has no argument 'dim'; it has: at",
    "@hookimpl\ndef build_mlp(self, at): pass": "names of hooks begin with make_ or add_",
    "@hookimpl\nasync def make_mlp(self, at): pass": "make_mlp is `async`",
    "@hookimpl\ndef make_mlp(self, at):\n    return (yield)": "make_mlp has a yield; mark it",
    "@hookimpl(wrapper=True)\ndef make_mlp(self, at): pass": "make_mlp is marked as a wrapper",
    "@hookimpl(wrapper=True)\ndef make_mlp(self, at):\n    yield\n    yield": "must yield exactly once",
    "@hookimpl(wrapper=True)\ndef add_companions(self, run):\n    return (yield)": "add_companions cannot be wrapped",
    "@hookimpl(tryfirst=True)\ndef make_mlp(self, at): pass": "tryfirst/trylast are not allowed",
    "def make_mlp(self, at): pass": "hooks must be marked with @hookimpl",
    "make_it: int = 3": "an option may not start with make_ or add_",
    "after: ClassVar = 'rope'": "after: expected names of plugins, as in ('other_technique',), got 'rope'",
    "neutral: ClassVar = 3": "neutral: expected options and values, got 3",
    "width = 3": "non-annotated attribute",
    "width: 'Nope' = None": "is not fully defined",
    "width: Any = object()": "Unable to serialize",
    "width: int = 3\ndef model_post_init(self, context): boom()": "KeyError: 'boom'",
    "@model_validator(mode='after')\ndef no(self): return None + 1": "TypeError: unsupported operand",
    "@model_validator(mode='after')\ndef no(self): pass": "A custom validator is returning a value other than `self`",
    "x = 1 / 0": "ZeroDivisionError: division by zero",
}


@pytest.mark.parametrize("body", IN_A_FILE)
def test_a_class_that_is_wrong(lab: Callable[..., Lab], body: str) -> None:
    line = told(lab, f"{HEAD}class Failing(Plugin):\n{textwrap.indent(body, '    ')}\n")
    assert placed(line)
    assert IN_A_FILE[body] in line


def test_a_default_that_is_wrong_is_not_the_study_files_mistake(lab: Callable[..., Lab]) -> None:
    line = told(lab, f"{HEAD}class Failing(Plugin):\n    width: int = 'many'\n")
    assert "arms.failing.plugins.failing.width: its default should be a valid integer" in line
    assert line.endswith("/failing.py)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_at_all", "ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("from coregpt.api import Nope", "ImportError: cannot import name 'Nope'"),
        ("x = = 1", "SyntaxError: invalid syntax"),
        ("def f():\nx = 1", "IndentationError"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_a_file_that_cannot_be_imported(lab: Callable[..., Lab], text: str, message: str) -> None:
    line = told(lab, f"{HEAD}{text}\n")
    assert placed(line)
    assert message in line


# -- what only a run executes ---------------------------------------------------------------------------------

CONFIG = RunConfig(
    model=ModelShape(vocab=61, dim=32, depth=1, heads=2, context=16),
    tokens=128,
    batch_tokens=64,
    eval_tokens=32,
    evals=1,
)
WANTS = "    def wants_pass(self, clock): return True\n"
MOMENTS = {
    "before_step": "clock",
    "sees_batch": "clock, tokens, targets",
    "wants_pass": "clock",
    "before_pass": "clock",
    "pass_loss": "loss, tokens, targets",
    "after_pass": "clock",
    "before_update": "clock",
    "after_update": "clock",
    "evaluating": "",
    "metrics": "",
}


def companion(moment: str, arguments: str) -> str:
    head = f"class C(Companion):\n{WANTS if 'pass' in moment and moment != 'wants_pass' else ''}"
    method = f"    def {moment}({', '.join(filter(None, ['self', arguments]))}): boom()\n\n\n"
    return hook("add_companions", "return C()", head + method)


def update(method: str, answer: str, of: str = "make_update") -> str:
    return hook(of, "return R()", f"class R(Rule):\n    def {method}(self, *given): {answer}\n\n\n")


AT_WORK = {
    **{f"companion.{name}": companion(name, given) for name, given in MOMENTS.items()},
    "companion.without the clock": hook(
        "add_companions", "return C()", "class C(Companion):\n    def before_step(self): pass\n\n\n"
    ),
    "init raises": update("init", "boom()"),
    "init gives None": update("init", "return None"),
    "init gives no stack": update("init", "return {'m': torch.zeros(())}"),
    "direction raises": update("direction", "boom()"),
    "direction gives None": update("direction", "return None"),
    "direction gives another shape": update("direction", "return torch.zeros(3, 5, 7)"),
    "amount raises": update("amount", "boom()", "make_decay"),
    "amount gives None": update("amount", "return None", "make_decay"),
    "amount gives another shape": update("amount", "return torch.zeros(3, 5, 7)", "make_decay"),
    "schedule, late": hook("add_schedules", "return {'lr': lambda clock: 1.0 if clock.step < 1 else boom()}"),
}


@pytest.mark.parametrize("what", AT_WORK)
def test_what_fails_in_a_run(tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blame, "plugin_roots", lambda: {tmp_path})  # plugins of other tests make a root of all tests
    (tmp_path / "failing.py").write_text(AT_WORK[what])
    config = CONFIG.model_copy(update={"plugins": {"failing": {}}})
    with pytest.raises(Exception) as raised:  # noqa: PT011 - of any kind; told alike
        train(
            build(config, Catalogue([tmp_path / "failing.py"]).instances(config.plugins), separator=0),
            tiny_source(),
            Rows(),
            tmp_path / "checkpoint.pt",
        )
    assert placed(explain(raised.value))
