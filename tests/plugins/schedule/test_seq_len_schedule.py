import pytest
import torch
import torch.nn.functional as F

from coregpt.contract.errors import ConfigError, PluginError
from coregpt.engine.data import RowOrder
from coregpt.engine.training.trainer import Trainer, never
from coregpt.lab.laws.tools import Rows, tiny_source

ROW = 24


def staged(build, steps=30, shape=None, config=None, **options):
    sizes = {"batch_tokens": 4 * ROW, "tokens": 4 * ROW * steps}
    return build(seq_len_schedule=options, shape=shape, config={**sizes, **(config or {})})


def trainer_of(run, tmp_path):
    trainer = Trainer(run, tiny_source(), Rows(), tmp_path / "a.pt", never, 60.0)
    trainer.train_step.calls = type("Calls", (), {"forward": run.model})()
    return trainer


def test_the_defaults_are_the_records_896_of_2048_in_the_first_third(build):
    run = build(seq_len_schedule={}, shape={"context": 2048}, config={"tokens": 2048 * 4 * 60})
    steps = run.timeline.steps
    third = round(steps / 3)
    assert list(run.timeline.lengths) == [896] * third + [2048] * (steps - third)
    assert list(run.timeline.batches) == [4 * 1792] * third + [4 * 2048] * (steps - third)


@pytest.mark.parametrize("steps", [7, 30, 101])
def test_the_budget_counts_what_is_trained(build, steps):
    """Rows of 24 give 2 x 10 tokens in the first half of the steps, 3 x 7 in the next quarter, then 24."""
    timeline = staged(build, steps, length=[0.43, 0.3, 1], fractions=[0.5, 0.25, 0.25]).timeline

    def by_hand(n):
        ends = round(0.5 * n), round(0.75 * n)
        return [4 * (20 if step < ends[0] else 21 if step < ends[1] else 24) for step in range(n)]

    assert list(timeline.batches) == by_hand(timeline.steps)
    assert sum(by_hand(timeline.steps)) <= 4 * ROW * steps < sum(by_hand(timeline.steps + 1))
    assert timeline.first_rows == tuple(4 * step for step in range(timeline.steps + 1))


def test_a_step_is_the_float64_mean_over_the_sequences_cut_by_hand(build, tmp_path):
    """The first step on rows 0 to 3: tokens 0-9 and 10-19 of each, the last four left out, positions from 0 in both."""
    run = staged(build, shape={"depth": 1})
    trainer = trainer_of(run, tmp_path)
    for name in ("attention.out", "mlp.down"):
        run.assembly.params[f"blocks.0.{name}.weight"].data.zero_()  # logits depend on token and position alone
    tables = {n: run.assembly.params[n].detach().double() for n in ("embedding.weight", "shared.positions.weight")}
    head = run.assembly.params["head.out.weight"].detach().double()
    inputs, targets = RowOrder(tiny_source().train, ROW, 0).rows(0, 4)
    losses = []
    for row, target in zip(inputs, targets, strict=True):
        for start in (0, 10):
            x = tables["embedding.weight"][row[start : start + 10]] + tables["shared.positions.weight"][:10]
            x = x / (x.square().mean(-1, keepdim=True) + torch.finfo(torch.float32).eps).sqrt()
            losses += F.cross_entropy(x @ head.T, target[start : start + 10], reduction="none").tolist()
    assert len(losses) == run.timeline.batches[0] == 80
    assert trainer.train_step(0)[0].item() == pytest.approx(sum(losses) / 80, rel=1e-6)


def test_sequences_begin_where_they_stand_in_the_stream(build, tmp_path):
    """What random numbers depend on: every sequence of the run has a place of its own."""
    run = staged(build, config={"micro_rows": 2})
    trainer = trainer_of(run, tmp_path)
    rows = torch.arange(4 * ROW).view(4, ROW)
    cuts = torch.cat([rows[:, :10], rows[:, 10:20]], dim=1).reshape(-1, 10)
    batch = trainer.train_step.micro_batches(cuts, cuts, 8, trainer.train_step.pass_rows(0))
    assert [len(tokens) for tokens, _, _ in batch] == [4, 4]
    assert torch.cat([starts for _, _, starts in batch]).tolist() == (8 * ROW + cuts[:, 0]).tolist()


def test_companions_see_what_is_trained_on(build, tmp_path):
    run, seen = staged(build), []

    class Watches:
        before_step = before_update = after_update = staticmethod(lambda clock: None)
        wants_pass = staticmethod(lambda clock: False)
        sees_batch = staticmethod(lambda clock, tokens, targets: seen.append(tuple(tokens.shape)))

    run.companions.append(Watches())
    trainer = trainer_of(run, tmp_path)
    for step in (0, run.timeline.steps - 1):
        trainer.train_step(step)
    assert seen == [(8, 10), (4, 24)]


def test_the_log_counts_trained_tokens(build, tmp_path):
    run, rows = staged(build, steps=5), Rows()
    trainer = Trainer(run, tiny_source(), rows, tmp_path / "a.pt", never, 60.0)
    outcome = trainer.go()
    batches = run.timeline.batches
    assert [row["tokens"] for row in rows.rows if "loss" in row] == [sum(batches[: n + 1]) for n in range(len(batches))]
    assert outcome.tokens == run.timeline.tokens == sum(batches)


def test_one_stage_of_whole_rows_is_no_schedule(build):
    run = staged(build, length=[1], fractions=[1])
    assert run.timeline == build(config={"batch_tokens": 4 * ROW, "tokens": 4 * ROW * 30}).timeline


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": [0.5]}, "fractions has 2 entries, but length has 1 stages"),
        ({"fractions": [0.5, 0.6]}, r"fractions must sum to 1, not 1\.1"),
        ({"length": [0.5, 1.5]}, r"plugins\.seq_len_schedule\.length"),
        ({"length": [0, 1]}, r"plugins\.seq_len_schedule\.length"),
    ],
)
def test_bad_options_are_named(build, options, message):
    with pytest.raises(ConfigError, match=message):
        staged(build, **options)


def test_less_than_one_token_is_refused(build):
    with pytest.raises(PluginError, match=r"seq_len_schedule: 0\.03 of a context of 24 is less than one token"):
        staged(build, length=[0.03, 1])
