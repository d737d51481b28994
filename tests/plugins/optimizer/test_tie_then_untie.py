import pytest
import torch

from coregpt.contract.config import OptimConfig
from coregpt.contract.errors import ConfigError, PluginError
from coregpt.contract.rules import Clock
from coregpt.engine.build import Run

EMBEDDING, HEAD = "embedding.weight", "head.out.weight"


def train(run: Run, batch, steps: int, watch=None) -> None:
    for step in range(steps):
        tokens, targets = batch(seed=step)
        run.dials.set(run.timeline.clock(step))
        run.model(tokens, targets, run.dials.values)[0].backward()
        for companion in run.companions:
            companion.before_update(run.timeline.clock(step))
        run.optimizer.step(run.dials.lr_factor, run.dials.values)
        for companion in run.companions:
            companion.after_update(run.timeline.clock(step))
        if watch:
            watch(step)


def both(run: Run) -> tuple[torch.Tensor, torch.Tensor]:
    return run.assembly.params[EMBEDDING].detach(), run.assembly.params[HEAD].detach()


def states(run: Run, path: str) -> dict[str, torch.Tensor]:
    return {name: value.clone() for p, name, value in run.optimizer.state_of() if p == path}


def test_equal_to_the_bit_for_two_thirds_moments_too_then_apart(build, batch):
    run = build(tie_then_untie={})  # 10 steps: 0 to 6 are tied, 7 is the first with two
    assert torch.equal(*both(run))
    seen = []

    def watch(step):
        equal = torch.equal(*both(run))
        moments = [
            torch.equal(a, b) for a, b in zip(states(run, EMBEDDING).values(), states(run, HEAD).values(), strict=True)
        ]
        seen.append((equal, all(moments)))

    train(run, batch, 10, watch)
    assert seen == [(True, True)] * 7 + [(False, False)] * 3


def test_it_is_the_model_with_one_matrix(build, batch):
    """Against torch's own AdamW on one tensor that is both."""
    run = build(tie_then_untie={"until": 9}, rope={}, config={"optim": OptimConfig(lr=0.01, grad_clip=0.0)})
    options = run.config.optim
    tied = build(rope={})
    model = tied.model
    params = {path: p.detach().clone() for path, p in run.assembly.params.items()}
    leaves = {path: value.requires_grad_() for path, value in params.items() if path != EMBEDDING}
    moved = torch.optim.AdamW(
        leaves.values(),
        options.lr,
        (options.beta1, options.beta2),
        options.eps,
        options.weight_decay,
    )
    names = {id(p): path for path, p in tied.assembly.params.items()}
    places = {name: names[id(p)] for name, p in model.named_parameters()}

    def wanted(step):
        tokens, targets = batch(seed=step)
        used = {name: leaves[HEAD if path == EMBEDDING else path] for name, path in places.items()}
        loss = torch.func.functional_call(model, used, (tokens, targets, tied.dials.values))[0]
        moved.zero_grad()
        loss.backward()
        moved.step()

    for step in range(5):
        wanted(step)
    train(run, batch, 5)
    for path in leaves:
        torch.testing.assert_close(run.assembly.params[path].detach(), leaves[path].detach(), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(*both(run), rtol=0, atol=0)


@pytest.mark.parametrize(("until", "tied"), [(0.5, 5), (3, 3), (1, 1)])
def test_until_is_a_share_or_a_step(build, batch, until, tied):
    run = build(tie_then_untie={"until": until})
    equal = []
    train(run, batch, 10, lambda step: equal.append(torch.equal(*both(run))))
    assert equal == [True] * tied + [False] * (10 - tied)


def test_rules_that_move_the_two_apart_cannot_part_them_early(build, batch):
    run = build(tie_then_untie={})
    run.optimizer.stacks[next(i for i, s in enumerate(run.optimizer.stacks) if HEAD in s.paths)].lr.mul_(3)
    train(run, batch, 3)
    assert torch.equal(*both(run))


def test_what_cannot_be_tied_is_refused(build):
    zero = build(tie_then_untie={}, zero_init={"head": True})
    with pytest.raises(PluginError, match="'tie_then_untie': the head starts at zero"):
        zero.companions[0].before_step(Clock(0, 10))
    with pytest.raises(PluginError, match="'tie_then_untie' and 'mup' conflict"):
        build(tie_then_untie={}, mup={})
    with pytest.raises(ConfigError, match=r"plugins\.tie_then_untie\.until"):
        build(tie_then_untie={"until": -1})
