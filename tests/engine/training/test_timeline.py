"""Budgets become steps without losing, repeating or exceeding tokens."""

import pytest
import torch

from coregpt.contract.config import ModelShape, RunConfig
from coregpt.contract.errors import PluginError
from coregpt.contract.rules import Stages
from coregpt.engine.training.timeline import cut, plan_steps


def config(tokens: int = 1000, batch: int = 20) -> RunConfig:
    return RunConfig(model=ModelShape(context=10), tokens=tokens, batch_tokens=batch, eval_tokens=10)


def test_a_constant_batch_uses_the_whole_budget() -> None:
    timeline = plan_steps(config(tokens=1010), {})
    assert (timeline.steps, timeline.tokens) == (50, 1000)
    assert timeline.first_rows == tuple(range(0, 101, 2))


@pytest.mark.parametrize("tokens", [997, 1000, 12_340])
def test_stages_fill_the_budget_to_within_one_batch(tokens: int) -> None:
    stages = Stages((1 / 3, 10), (2 / 3, 20), (1, 40))
    timeline = plan_steps(config(tokens), {"batch_tokens": stages})
    assert sum(timeline.batches) == timeline.tokens <= tokens
    assert tokens - timeline.tokens < 3 * 40
    steps = timeline.steps
    assert timeline.batches.count(10) == round(steps / 3)
    assert timeline.first_rows[-1] * 10 == timeline.tokens
    longer = [int(stages(type(timeline.clock(0))(s, steps + 2))) for s in range(steps + 2)]
    assert sum(longer) > tokens


def test_sizes_that_do_not_fit_rows_are_refused() -> None:
    with pytest.raises(PluginError, match="batch_tokens stage 15"):
        plan_steps(config(), {"batch_tokens": Stages((1, 15))})
    for length in (0, 11):
        with pytest.raises(
            PluginError, match=rf"seq_len stage {length} is not a length from 1 to model.context \(10\)"
        ):
            plan_steps(config(), {"seq_len": Stages((1, length))})


def test_a_length_that_does_not_divide_a_row_leaves_the_rest_of_it_out() -> None:
    """By hand: rows of 10, two a step; 4 + 4 tokens of each in the first half of the steps, all in the other."""
    timeline = plan_steps(config(tokens=400), {"seq_len": Stages((0.5, 4), (1, 10))})
    assert timeline.batches == (16,) * 11 + (20,) * 11  # 396; with 23 steps 12 x 16 + 11 x 20 = 412
    assert timeline.tokens == 396
    assert timeline.first_tokens[10:13] == (160, 176, 196)
    assert timeline.first_rows == tuple(range(0, 45, 2))
    assert [timeline.rows(step) for step in (0, 21)] == [2, 2]
    assert [timeline.sequences(step) for step in (0, 21)] == [2, 1]


@pytest.mark.parametrize("tokens", [100, 997, 5003])
@pytest.mark.parametrize("lengths", [(3, 10), (4, 7), (10, 9), (6, 6)])
def test_both_sizes_staged_fill_the_budget_and_no_longer_run_would_fit(tokens: int, lengths: tuple[int, int]) -> None:
    batch, length = Stages((0.3, 10), (1, 30)), Stages((0.6, lengths[0]), (1, lengths[1]))

    def by_hand(steps: int) -> list[int]:
        rows = [1 if step < round(0.3 * steps) else 3 for step in range(steps)]
        each = [lengths[0] if step < round(0.6 * steps) else lengths[1] for step in range(steps)]
        return [n * (10 // size) * size for n, size in zip(rows, each, strict=True)]

    timeline = plan_steps(config(tokens), {"batch_tokens": batch, "seq_len": length})
    assert list(timeline.batches) == by_hand(timeline.steps)
    assert sum(by_hand(timeline.steps)) <= tokens < sum(by_hand(timeline.steps + 1))


def test_a_row_is_cut_from_its_start_and_loses_its_end() -> None:
    rows = torch.arange(20).view(2, 10)
    assert cut(rows, 4).tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [10, 11, 12, 13], [14, 15, 16, 17]]
    assert torch.equal(cut(rows, 10), rows)
