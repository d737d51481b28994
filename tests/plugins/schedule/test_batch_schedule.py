import pytest
import torch

from coregpt.contract.errors import ConfigError, PluginError
from coregpt.contract.rules import Clock
from coregpt.engine.data import RowOrder
from coregpt.lab.laws.tools import tiny_source

ROW = 24


def staged(build, steps=30, rows=4, plugins=None, **options):
    config = {"batch_tokens": rows * ROW, "tokens": rows * ROW * steps}
    return build(batch_schedule=options, config=config, **(plugins or {}))


def factors(run):
    seen = []
    for step in range(run.timeline.steps):
        run.dials.set(run.timeline.clock(step))
        seen.append(run.dials.lr_factor)
    return seen


def test_the_defaults_keep_the_number_of_steps_and_of_tokens(build):
    timeline = staged(build).timeline
    assert [tokens // ROW for tokens in timeline.batches] == [2] * 10 + [4] * 10 + [6] * 10
    assert timeline.tokens == sum(timeline.batches) == 30 * 4 * ROW


@pytest.mark.parametrize("steps", [7, 29, 100])
@pytest.mark.parametrize("fractions", [None, [0.2, 0.1, 0.7]])
def test_every_step_follows_its_stage_and_the_budget_is_kept(build, steps, fractions):
    timeline = staged(build, steps, batch=[1, 2, 3], fractions=fractions).timeline
    shares = fractions or [1 / 3] * 3

    def wanted(n):
        ends = [round(shares[0] * n), round((shares[0] + shares[1]) * n)]
        return [4 * ROW * (1 if step < ends[0] else 2 if step < ends[1] else 3) for step in range(n)]

    assert list(timeline.batches) == wanted(timeline.steps)
    assert sum(wanted(timeline.steps)) <= steps * 4 * ROW < sum(wanted(timeline.steps + 1))


def test_the_stream_goes_on_where_it_was_across_a_change(build):
    timeline = staged(build).timeline
    order = RowOrder(tiny_source().train, ROW, 5)
    taken = [
        order.rows(first, tokens // ROW)[0]
        for first, tokens in zip(timeline.first_rows, timeline.batches, strict=False)
    ]
    assert torch.equal(torch.cat(taken), order.rows(0, 120)[0])
    assert timeline.first_rows[-1] == 120


def test_each_stage_multiplies_the_learning_rate(build):
    assert factors(staged(build)) == [1] * 10 + [1.52] * 10 + [1.73] * 10


def test_record_46(build):
    run = staged(build, 200, lr=[1, 1.51, 1.93], lr_fractions=[0.33, 0.33, 0.34])
    wanted = [1.93 if step / 200 >= 0.66 else 1.51 if step / 200 >= 0.33 else 1 for step in range(200)]
    assert factors(run) == wanted
    assert [round(ratio**0.6, 2) for ratio in (2, 3)] == pytest.approx([1.52, 1.93])  # cut to 1.51 by its authors
    assert [rows // ROW for rows in run.timeline.batches] == [2] * 67 + [4] * 66 + [6] * 67


def test_it_multiplies_the_schedule_there_is(build):
    wsd = {"warmup": 4, "cooldown": 0.5, "floor": 0.1}
    plain = factors(build(wsd=wsd, config={"batch_tokens": 4 * ROW, "tokens": 4 * ROW * 30}))
    both = factors(staged(build, plugins={"wsd": wsd}))
    assert both == pytest.approx([f * m for f, m in zip(plain, [1] * 10 + [1.52] * 10 + [1.73] * 10, strict=True)])


def test_other_dials_pass_through(build):
    run = staged(build, plugins={"window_warmup": {}, "mtp": {}})
    assert {"window", "mtp.1", "mtp.2", "lr", "batch_tokens"} == set(run.dials.schedules)
    assert run.dials.schedules["window"](Clock(29, 30)) == 24


def test_one_stage_of_once_is_no_schedule(build):
    run = staged(build, batch=[1], lr=[1])
    assert run.timeline == build(config={"batch_tokens": 4 * ROW, "tokens": 4 * ROW * 30}).timeline
    assert factors(run) == [1.0] * 30


def test_batches_that_are_not_whole_rows_are_refused(build):
    with pytest.raises(PluginError, match=r"batch_tokens stage 108 is not a multiple of model.context"):
        staged(build, batch=[1.125, 1, 1])
    with pytest.raises(PluginError, match=r"0\.333 x batch_tokens = 31\.968, which is not whole"):
        staged(build, batch=[0.333, 1, 1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": [1, 2]}, "lr has 3 entries, but batch has 2 stages"),
        ({"batch": [1, 2], "lr": [1, 1], "fractions": [1]}, "fractions has 1 entries"),
        ({"fractions": [0.5, 0.4, 0.2]}, r"fractions must sum to 1, not 1\.1"),
        ({"lr_fractions": [0.33, 0.33, 0.33]}, r"lr_fractions must sum to 1, not 0\.99"),
        ({"lr_fractions": [1]}, "lr_fractions has 1 entries"),
        ({"batch": []}, r"plugins\.batch_schedule\.batch"),
        ({"lr": [1, 0, 1]}, r"plugins\.batch_schedule\.lr"),
    ],
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        build(batch_schedule=options)
