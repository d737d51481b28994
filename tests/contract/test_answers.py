"""A wrong answer is refused while the model is built, with hook, plugin, file and line, and what was expected."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch

from coregpt.contract.config import ModelShape, RunConfig
from coregpt.contract.errors import PluginError
from coregpt.engine.build import Run, build
from coregpt.lab.study.registry import Catalogue

CONFIG = RunConfig(
    model=ModelShape(vocab=61, dim=32, depth=2, heads=2, context=16), tokens=640, batch_tokens=64, eval_tokens=32
)
WRONG = {
    "make_mlp(self, at)": ("lambda x: x", "make_mlp at 'blocks.0.mlp': expected a torch module, got a function"),
    "make_norm(self, at)": ("nn.Identity", "got the class Identity itself, which nobody called"),
    "make_connection(self, at)": (
        "nn.Identity()",
        "a torch module with `read` and `write`",
    ),
    "make_activation(self, at)": ("nn.GELU()", "a torch module with `inputs` and `width`"),
    "make_update(self, group)": ("nn.Identity()", "make_update at 'embedding': expected an update rule: an object"),
    "make_decay(self, group)": ("0.1", "a decay rule: an object with `amount`, got an object of type float"),
    "add_schedules(self, run)": ("[lambda clock: 1.0]", "add_schedules: expected a dict"),
    "add_masks(self, at)": ("True", "add_masks at 'blocks.0.attention.attend': expected a mask rule"),
    "add_losses(self, at)": ("nn.Identity()", "add_losses at 'losses': expected a dict"),
    "add_logit_transforms(self, at)": ("lambda z, ctx: z", "expected a torch module, got a function"),
    "add_param_rules(self, param)": ("2.0", "add_param_rules at 'embedding.weight': expected a ParamRule"),
    "add_companions(self, run)": ("[1]", "add_companions: expected a Companion, got an object of type list"),
}
FILE = '''"""A plugin.

Source: nobody.
"""
from torch import nn

from coregpt.api import Plugin, hookimpl


class Wrong(Plugin):
    @hookimpl{options}
    def {head}:
{body}
'''
LINE = 11
"""Of the decorator of the hook, where the code of a function begins."""


def run_of(folder: Path, head: str, body: str, options: str = "") -> Run:
    path = folder / "wrong.py"
    path.write_text(FILE.format(head=head, body=textwrap.indent(body, " " * 8), options=options))
    plugins: dict[str, dict[str, Any]] = {"wrong": {}}
    return build(CONFIG.model_copy(update={"plugins": plugins}), Catalogue([path]).instances(plugins))


@pytest.mark.parametrize("head", WRONG)
def test_an_answer_of_the_wrong_type_names_hook_plugin_and_what_was_expected(tmp_path: Path, head: str) -> None:
    answer, message = WRONG[head]
    with pytest.raises(PluginError, match=re.escape(message)) as told:
        run_of(tmp_path, head, f"return {answer}")
    assert f"plugin 'wrong' ({tmp_path}/wrong.py:{LINE})" in str(told.value)


def test_a_wrapper_that_forgets_to_return_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"got None from plugin 'wrong' .*a wrapper must return what `yield` gave"):
        run_of(tmp_path, "make_mlp(self, at)", "inner = yield\ninner.train()", "(wrapper=True)")


def test_a_hook_that_fails_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"^plugin 'wrong' \(.*/wrong.py:14\): make_mlp: ZeroDivisionError: ") as told:
        run_of(tmp_path, "make_mlp(self, at)", "half = 0\nreturn 1 / half")
    assert isinstance(told.value.__cause__, ZeroDivisionError)


def test_a_companion_that_fails_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match=r"^plugin 'wrong' \(.*/wrong.py:13\): add_companions: AttributeError: "):
        run_of(tmp_path, "add_companions(self, run)", "return run.nothing")


def test_a_full_memory_stays_a_full_memory(tmp_path: Path) -> None:
    with pytest.raises(torch.OutOfMemoryError):
        run_of(tmp_path, "make_mlp(self, at)", "import torch\nraise torch.OutOfMemoryError('full')")


def test_none_passes(tmp_path: Path) -> None:
    run = run_of(tmp_path, "make_mlp(self, at)", "return None")
    assert len(run.assembly.params) > 10
