"""Branching: another run from a checkpoint, with all that both have and nothing that only one of them has."""

from pathlib import Path

import pytest
import torch

from coregpt.contract.errors import RunError
from coregpt.engine.training import checkpoint
from coregpt.engine.training.outcome import Outcome
from coregpt.engine.training.trainer import train
from coregpt.lab.laws.tools import Rows, tiny_source

FORK, STEPS = 6, 10


def finish(run, path: Path, rows: Rows, **options) -> Outcome:
    path.mkdir(exist_ok=True)
    return train(run, tiny_source(), rows, path / "checkpoint.pt", **options)


def branched(make, trunk, tmp_path: Path):
    """A run of `make()` that begins with a trunk of `trunk()`; the trunk's rows up to the fork are its rows."""
    rows = Rows()
    finish(trunk(), tmp_path / "trunk", rows, until=FORK)
    run = make()
    finish(run, tmp_path / "branch", rows, trunk=tmp_path / "trunk" / "checkpoint.pt")
    return run, rows


def weights(run) -> dict[str, torch.Tensor]:
    return {name: param.detach() for name, param in run.assembly.params.items()}


@pytest.mark.parametrize(
    "plugins",
    [{}, {"moe": {}}, {"muon": {}, "mtp": {}}, {"normuon": {}, "ema": {"start": 2}}, {"ngpt": {}, "rope": {}}],
    ids=lambda plugins: "+".join(plugins) or "plain",
)
def test_a_branch_of_the_same_settings_is_the_run_that_was_never_forked(build, tmp_path, plugins) -> None:
    straight, whole = Rows(), build(**plugins)
    finish(whole, tmp_path / "whole", straight)
    branch, rows = branched(lambda: build(**plugins), lambda: build(**plugins), tmp_path)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(branch)[name])
    assert rows.without_times() == straight.without_times()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"wsd": {"cooldown": 0.4}}, {"wsd": {"cooldown": 0}}),
        ({"moe": {}}, {"moe": {}, "ema": {"start": FORK + 1, "horizon": 2}}),
        ({"ema": {"start": FORK + 1}, "moe": {}}, {"moe": {}}),
    ],
    ids=["other cooldown", "companion added", "companion dropped"],
)
def test_what_acts_only_after_the_fork_ends_as_if_it_had_been_there_all_along(build, tmp_path, before, after) -> None:
    straight, whole = Rows(), build(**after)
    finish(whole, tmp_path / "whole", straight)
    branch, rows = branched(lambda: build(**after), lambda: build(**before), tmp_path)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(branch)[name])
    assert rows.without_times() == straight.without_times()


def test_a_branch_that_is_interrupted_goes_on_from_its_own_checkpoint(build, tmp_path) -> None:
    straight = Rows()
    finish(build(moe={}), tmp_path / "whole", straight)
    rows = Rows()
    finish(build(moe={}), tmp_path / "trunk", rows, until=FORK)
    trunk = tmp_path / "trunk" / "checkpoint.pt"
    finish(build(moe={}), tmp_path / "branch", rows, trunk=trunk, until=FORK + 2)
    trunk.unlink()
    outcome = finish(build(moe={}), tmp_path / "branch", rows, trunk=trunk)
    assert rows.without_times() == straight.without_times()
    assert outcome.tokens_per_second > 0


@pytest.mark.parametrize(
    ("own", "missing"),
    [
        ({"muon": {}}, r"optimizer state"),
        ({"value_embeddings": {}}, r"parameter"),
        ({"swiglu": {}}, r"parameter"),
    ],
)
def test_a_run_that_holds_other_state_cannot_branch(build, tmp_path, own, missing) -> None:
    with pytest.raises(RunError, match=missing):
        branched(lambda: build(**own), build, tmp_path)


def test_a_resumed_run_must_find_the_state_of_each_of_its_companions(build, tmp_path) -> None:
    finish(build(moe={}), tmp_path / "a", Rows(), until=FORK)
    with pytest.raises(RunError, match=r"companions of \['moe'\], not of \['ema', 'moe'\]"):
        finish(build(moe={}, ema={}), tmp_path / "a", Rows())


def test_the_digest_of_a_state_leaves_clocks_out_and_sees_one_bit(build, tmp_path) -> None:
    digests = []
    for name in ("a", "b"):
        finish(build(moe={}), tmp_path / name, Rows(), until=FORK)
        digests.append(checkpoint.state_digest(tmp_path / name / "checkpoint.pt"))
    files = [(tmp_path / name / "checkpoint.pt") for name in ("a", "b")]
    assert digests[0] == digests[1]
    state = torch.load(files[0], weights_only=True)
    path = next(iter(state["optimizer"]))
    state["optimizer"][path]["v"].view(-1)[0] += 1e-6
    torch.save(state, files[0])
    assert checkpoint.state_digest(files[0]) != digests[0]
    files[0].write_bytes(files[1].read_bytes()[:-100])
    with pytest.raises(RunError, match="is not a checkpoint"):
        checkpoint.state_digest(files[0])
