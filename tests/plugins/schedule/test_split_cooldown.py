import pytest

from coregpt.contract.errors import PluginError


def factor(s, steps, share, floor):
    """Linear from 1 at N - c to the floor at N."""
    start = steps * (1 - share)
    return 1.0 if s <= start else 1 + (floor - 1) * (s - start) / (steps - start)


@pytest.mark.parametrize(
    ("matrices", "others", "floors"), [(0.8, 0.4, (0, 0)), (1, 0.5, (0, 0.1)), (0.3, 0.9, (0.2, 0))]
)
def test_both_factors_at_every_step(build, matrices, others, floors):
    options = {"matrices": matrices, "others": others, "floor": floors[0], "others_floor": floors[1]}
    run = build(split_cooldown=options, config={"tokens": 20 * 96})
    steps = run.timeline.steps
    for s in range(steps):
        run.dials.set(run.timeline.clock(s))
        lr, ratio = (float(run.dials.values[name]) for name in ("lr", "split_cooldown.others"))
        assert lr == pytest.approx(factor(s, steps, matrices, floors[0]), abs=1e-6)
        assert lr * ratio == pytest.approx(factor(s, steps, others, floors[1]), abs=1e-6)


def test_groups_move_by_their_own_factors(build, batch):
    """In a step where matrices are at a half and the others still at one, AdamW's first moves show both."""
    run = build(split_cooldown={"matrices": 1, "others": 0.2}, config={"tokens": 10 * 96, "optim": {"weight_decay": 0}})
    run.dials.set(run.timeline.clock(5))
    before = {path: p.detach().clone() for path, p in run.assembly.params.items()}
    tokens, targets = batch()
    run.model(tokens, targets, run.dials.values)[0].backward()
    run.optimizer.step(run.dials.lr_factor, run.dials.values)
    for path, p in run.assembly.params.items():
        largest = float((p.detach() - before[path]).abs().max())
        share = 0.5 if run.assembly.infos[path].role == "matrix" else 1.0
        assert largest == pytest.approx(run.config.optim.lr * share, rel=1e-2), path


def test_another_owner_of_the_rate_clashes(build):
    with pytest.raises(PluginError, match="'split_cooldown' and 'wsd'"):
        build(split_cooldown={}, wsd={})
