"""One owner per dial; smooth dials keep their tensor, so that a new value is not a new graph."""

from typing import Any

import pytest
import torch

from coregpt.contract.errors import PluginError


def test_two_schedules_of_one_dial_are_both_named(build) -> None:
    with pytest.raises(PluginError, match=r"'lr': claimed by 'cosine' and 'wsd'"):
        build(wsd={}, cosine={})


def test_a_smooth_dial_moves_in_place(build) -> None:
    run = build(window_warmup={"start": 4, "step": 4})
    before: Any = run.dials.values["window"]
    first = before.item()
    run.dials.set(run.timeline.clock(run.timeline.steps - 1))
    assert run.dials.values["window"] is before
    assert isinstance(before, torch.Tensor)
    assert before.item() > first


def test_without_a_schedule_the_learning_rate_is_constant(build) -> None:
    run = build()
    run.dials.set(run.timeline.clock(7))
    assert run.dials.lr_factor == 1
