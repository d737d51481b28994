"""Prices compare what they say they compare."""

import pytest
import torch

from benchmarks import prices
from benchmarks.measure import Ratio
from benchmarks.steps import Stepper
from coregpt.lab.study.registry import Catalogue


def test_every_technique_has_a_price() -> None:
    assert [case.name for case in prices.cases()] == Catalogue().names()


@pytest.mark.parametrize("case", [*prices.cases(), *prices.GOALS], ids=lambda case: case.name)
def test_both_sides_can_be_built(case: prices.Case) -> None:
    catalogue = Catalogue()
    for plugins in (case.ours, case.theirs):
        found = prices.config(plugins, "bf16", case)
        assert found.model.context == case.context
        catalogue.instances(found.plugins)
    assert case.ours != case.theirs


def test_steps_are_taken_all_over_the_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    shape = prices.SHAPE.model_copy(update={"dim": 8, "depth": 1, "context": 8})
    made = prices.config({}, "fp32", prices.GOALS[0]).model_copy(
        update={"model": shape, "batch_tokens": 8, "tokens": 800}
    )
    step, taken = Stepper(made), list[int]()
    monkeypatch.setattr(step, "take", taken.append)
    for _ in range(10):
        step()
    assert {number // 20 for number in taken} == {0, 1, 2, 3, 4}
    assert len(set(taken)) == 10


def test_memory_grows_with_what_is_held() -> None:
    with prices.Peaks() as peaks:
        plain, more = peaks.of({}, "fp32"), peaks.of({"moe": {}}, "fp32")
        # weights, gradients and two moments of 0.89 million parameters, and 4 x 128 rows of activations
        assert plain > 4 * 4 * 850_000 + 4 * 4 * 128 * 128 * 4 * 10
        assert more > 1.5 * plain  # eight MLPs in the place of one
        with pytest.raises(RuntimeError, match="no memory was measured"):
            peaks.of({"no such technique": {}}, "fp32")


@pytest.mark.parametrize(("low", "high", "said"), [(1.0, 1.1, "yes"), (1.1, 1.3, "undecided"), (1.21, 1.3, "no")])
def test_a_goal_is_judged_by_the_whole_range(low: float, high: float, said: str) -> None:
    assert prices.met(Ratio(1.1, low, high, 1.0, 1.0), 1.2) == said
