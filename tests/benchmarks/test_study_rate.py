"""The study that is timed is the committed one, and the plain loop does as many steps and evaluations as its runs."""

from pathlib import Path

import pytest
import torch

from benchmarks import study_rate
from benchmarks.bare import BareGPT, BareLoop
from coregpt.lab.config import load

WHOLE = 143_360
SMALL = {"model": {"vocab": 256, "dim": 8, "depth": 1, "heads": 2, "context": 32}, "eval_tokens": 4096}


def test_only_the_length_differs_from_the_committed_study(tmp_path: Path) -> None:
    timed, real = load(study_rate.shortened(tmp_path, WHOLE)), load(study_rate.STUDY, "laptop")
    assert [arm.run for arm in timed.arms] == [arm.run for arm in real.arms]
    assert timed.seeds == real.seeds
    short = load(study_rate.shortened(tmp_path, study_rate.TOKENS)).arms[0].run
    evaluations = real.arms[0].run.evals * study_rate.TOKENS / WHOLE
    assert short.tokens == study_rate.TOKENS
    assert abs(short.evals - evaluations) <= 0.5


def test_the_plain_loop_counts_steps_and_evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(study_rate.shortened(tmp_path, 20_480, SMALL)).arms[0].run
    steps, passes = list[int](), list[int]()
    inner, forward = BareLoop.step, BareGPT.forward
    monkeypatch.setattr(BareLoop, "step", lambda self, x, y: (steps.append(x.numel()), inner(self, x, y))[1])
    monkeypatch.setattr(BareGPT, "forward", lambda self, x, y: (passes.append(x.numel()), forward(self, x, y))[1])
    assert study_rate.bare(config, 1) > 0
    assert steps == [512] * 40
    assert sum(passes) - sum(steps) == (config.evals + 1) * 4096
    assert torch.get_num_threads() == 1


@pytest.mark.slow
def test_a_small_study_is_timed_three_ways(tmp_path: Path) -> None:
    path = study_rate.shortened(tmp_path, 2048, SMALL)
    found = study_rate.one_round(path, load(path).arms[0].run, runs=12, workers=2)
    assert min(found.all_cores, found.one_job, found.bare) > 0
