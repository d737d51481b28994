"""Budgets become steps without losing, repeating or exceeding tokens."""

import pytest

from coregpt.contract.config import ModelShape, RunConfig
from coregpt.contract.errors import PluginError
from coregpt.contract.rules import Stages
from coregpt.engine.timeline import plan_steps


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
    with pytest.raises(PluginError, match="seq_len stage 4"):
        plan_steps(config(), {"seq_len": Stages((1, 4))})
