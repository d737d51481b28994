import torch


def train(run, batch, steps):
    """(step, path, whether it moved) of every parameter."""
    for step in range(steps):
        run.dials.set(run.timeline.clock(step))
        before = {path: p.detach().clone() for path, p in run.assembly.params.items()}
        tokens, targets = batch(seed=step)
        run.model(tokens, targets, run.dials.values)[0].backward()
        run.optimizer.step(run.dials.lr_factor, run.dials.values)
        for path, p in run.assembly.params.items():
            yield step, path, not torch.equal(p.detach(), before[path])


def test_scalars_wait_after_every_change_and_only_they(build, batch):
    """Twelve steps in three stages, each followed by two steps of waiting."""
    run = build(
        scalar_freeze={"steps": 2},
        rmsnorm_gain={},
        batch_schedule={"batch": [1, 1.5, 2], "fractions": [0.25, 0.25, 0.5]},
        config={"tokens": 18 * 96},
    )
    steps = run.timeline.steps
    sizes = [run.timeline.rows(step) for step in range(steps)]
    changes = [step for step in range(1, steps) if sizes[step] != sizes[step - 1]]
    assert len(changes) == 2
    waits = {step for change in changes for step in (change, change + 1)}
    for step, path, moved in train(run, batch, steps):
        scalar = run.assembly.infos[path].role == "scalar"
        assert moved == (not (scalar and step in waits)), (step, path)


def test_moments_wait_as_well(build, batch):
    run = build(scalar_freeze={"steps": 1}, rmsnorm_gain={})
    stack = next(each for each in run.optimizer.stacks if each.group.role == "scalar")
    dials = {"step": 1, "rows": stack.rows}
    g = torch.ones_like(stack.data)
    still = stack.rule.direction(stack.data, g, stack.state, {**dials, "scalar_freeze.moves": torch.tensor(0.0)})
    assert not still.any()
    assert not stack.state["m"].any()
    assert stack.rule.direction(stack.data, g, stack.state, {**dials, "scalar_freeze.moves": torch.tensor(1.0)}).any()


def test_without_stages_it_does_nothing(build):
    run = build(scalar_freeze={}, wsd={})
    for step in range(run.timeline.steps):
        run.dials.set(run.timeline.clock(step))
        assert float(run.dials.values["scalar_freeze.moves"]) == 1
