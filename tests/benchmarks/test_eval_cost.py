"""The plain evaluation that ours is compared with measures the same thing on the same rows."""

from pathlib import Path

import pytest
import torch

from benchmarks.eval_cost import choices, eval_cost, plain_evaluation, share
from benchmarks.steps import Stepper
from benchmarks.study_rate import shortened
from coregpt.contract.config import RunConfig
from coregpt.lab.planning.load import load

SMALL = {"model": {"vocab": 256, "dim": 8, "depth": 1, "heads": 2, "context": 32}, "eval_tokens": 4096, "evals": 4}


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    return load(shortened(tmp_path, 5120, SMALL)).arms[0].run


def test_a_model_that_knows_nothing_loses_the_logarithm_of_its_vocabulary(config: RunConfig) -> None:
    stepper = Stepper(config)
    plain = plain_evaluation(config, stepper)
    with torch.no_grad():
        for cell in plain.__closure__ or ():
            if isinstance(cell.cell_contents, torch.nn.Module):
                cell.cell_contents.head.weight.zero_()
        for name, param in stepper.run.assembly.params.items():
            if name.startswith("head"):
                param.zero_()
    stepper.trainer.measure(0)
    assert stepper.trainer.progress.select == pytest.approx(plain())
    assert plain() == pytest.approx(5.5451774)  # ln 256


def test_the_share_counts_every_evaluation(config: RunConfig) -> None:
    found = eval_cost(config, pairs=1)
    e = found.over_step.median
    assert found.share == pytest.approx(
        6 * e / (6 * e + 10)
    )  # 4 evals, one before the first of 10 steps, and held_out at the end
    assert found.over_bare.median > 0


def test_evaluations_as_long_as_the_training_take_half() -> None:
    assert share(evaluations=4, steps=20, over_step=5.0) == 0.5


def test_shares_of_the_choices_scale_with_tokens_and_number() -> None:
    # An evaluation of 16,384 tokens takes two of 100 steps: 8 are 16 of 116 steps, 8 twice as long 32 of 132.
    shares = {(evals, tokens): share for evals, tokens, share in choices(2.0, 16_384, 100)}
    assert shares["7", "16,384"] == "14%"
    assert shares["7", "32,768"] == "24%"
