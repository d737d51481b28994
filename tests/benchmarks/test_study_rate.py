"""The study that is timed is the committed one, and the plain loop does as many steps and evaluations as its runs."""

from pathlib import Path

import pytest
import torch

from benchmarks import study_rate
from benchmarks.bare import BareGPT, BareLoop
from coregpt.engine.build import build
from coregpt.lab.planning.load import load

WHOLE, SHORT = 143_360, 40_960
SMALL = {"model": {"vocab": 256, "dim": 8, "depth": 1, "heads": 2, "context": 32}, "eval_tokens": 4096}


def test_only_the_length_differs_from_the_committed_study(tmp_path: Path) -> None:
    timed, real = load(study_rate.shortened(tmp_path, WHOLE)), load(study_rate.STUDY, "laptop")
    rates = [arm.run.optim.model_copy(update={"lr": 0.00390625}) for arm in real.arms]
    declared = [arm.run.model_copy(update={"optim": optim}) for arm, optim in zip(real.arms, rates, strict=True)]
    assert [arm.run for arm in timed.arms] == declared
    assert timed.seeds == real.seeds
    short = load(study_rate.shortened(tmp_path, SHORT)).arms[0].run
    evaluations = real.arms[0].run.evals * SHORT / WHOLE
    assert short.tokens == SHORT
    assert abs(short.evals - evaluations) <= 0.5


def test_the_plain_loop_counts_steps_and_evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load(study_rate.shortened(tmp_path, 20_480, SMALL)).arms[0].run
    steps, passes = list[int](), list[int]()
    inner, forward = BareLoop.step, BareGPT.forward
    monkeypatch.setattr(BareLoop, "step", lambda self, x, y: (steps.append(x.numel()), inner(self, x, y))[1])
    monkeypatch.setattr(BareGPT, "forward", lambda self, x, y: (passes.append(x.numel()), forward(self, x, y))[1])
    assert study_rate.bare(config, 1) > 0
    assert steps == [512] * 40
    assert sum(passes) - sum(steps) == (config.evals + 2) * 4096  # the last time on both streams
    assert torch.get_num_threads() == 1


def test_the_runs_with_two_learning_rates_are_those_of_the_plain_loop(tmp_path: Path) -> None:
    arms = load(study_rate.two_rates(tmp_path, study_rate.RATES_TOKENS)).arms
    model = BareGPT(256, 128, 4, 4, 256)
    for arm in arms:
        assert not arm.run.plugins
        assert (arm.run.tokens, arm.run.batch_tokens) == (160 * 4096, 4096)
        built = build(arm.run, [], separator=0).model
        assert sum(p.numel() for p in built.parameters()) == sum(p.numel() for p in model.parameters())


@pytest.mark.slow
def test_a_small_study_is_timed_three_ways(tmp_path: Path) -> None:
    path = study_rate.shortened(tmp_path, 2048, SMALL)
    lines, record = study_rate.timed(path, rounds=1, workers=2)
    assert set(record["rounds"][0]) >= {study_rate.OURS, study_rate.BESIDE, *study_rate.GOALS}
    assert "12 runs of 2,048 tokens in steps of 512," in lines


def test_a_study_that_gains_as_much_as_bare_loops_has_all_of_it() -> None:
    seconds = {study_rate.OURS: 10.0, study_rate.ONE_JOB: 18.0, study_rate.BESIDE: 20.0}
    assert study_rate.jobs_share({**seconds, study_rate.BARE.format(1): 36.0}) == pytest.approx(1)
    assert study_rate.jobs_share({**seconds, study_rate.BARE.format(1): 40.0}) == pytest.approx(0.9)
