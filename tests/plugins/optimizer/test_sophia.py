from pathlib import Path

import pytest
import torch

from coregpt.contract.rules import Clock, ParamGroup
from coregpt.engine.accounting import count
from coregpt.engine.training.trainer import Trainer, never
from coregpt.lab.laws.tools import Rows, tiny_source


def slow_sophia(gradients, estimates, beta1, beta2, gamma, eps):
    """Directions of one number after each of its gradients; an estimate is None where there is none."""
    m = h = 0.0
    found = []
    for g, estimate in zip(gradients, estimates, strict=True):
        if estimate is not None:
            h = beta2 * h + (1 - beta2) * estimate
        m = beta1 * m + (1 - beta1) * g
        ratio = m / max(gamma * h, eps)
        found.append(max(-1.0, min(1.0, ratio)))
    return found


def test_each_number_moves_by_the_definition(build):
    options = {"beta1": 0.9, "beta2": 0.8, "gamma": 0.5, "eps": 1e-3}
    group = ParamGroup("matrix", (2, 3), ("a", "b"))
    rule = build(sophia=options).assembly.hook.make_update(group=group)
    generator = torch.Generator().manual_seed(0)
    gradients = torch.randn(5, 2, 2, 3, dtype=torch.float64, generator=generator)
    estimates = torch.rand(5, 2, 2, 3, dtype=torch.float64, generator=generator) * 3
    p = torch.zeros(2, 2, 3, dtype=torch.float64)
    state, found = rule.init(p), []
    for step, (g, estimate) in enumerate(zip(gradients, estimates, strict=True)):
        rule.estimates = dict(zip("ab", estimate, strict=True)) if step % 2 == 0 else {}
        found.append(rule.direction(p, g, state, {"step": step + 1, "rows": torch.arange(2)}).clone())
    for place in torch.cartesian_prod(*map(torch.arange, (2, 2, 3))).tolist():
        at = (slice(None), *place)
        given = [float(each) if i % 2 == 0 else None for i, each in enumerate(estimates[at])]
        wanted = slow_sophia(gradients[at].tolist(), given, **options)
        torch.testing.assert_close(torch.stack(found)[at], torch.tensor(wanted, dtype=torch.float64))


def test_the_second_pass_leaves_the_first_ones_gradients_and_its_own_squares(build):
    run = build(sophia={"beta1": 0.9, "beta2": 0.75}, config={"optim": {"grad_clip": 0.0}})
    trainer = Trainer(run, tiny_source(), Rows(), Path(), never, 60.0)
    trainer.train_step.prepare()
    tokens, targets = trainer.train_step.order.rows(0, trainer.train_step.rank_rows(0))
    companion, params = run.companions[0], run.assembly.params
    companion.before_pass(run.timeline.clock(0))

    def gradients(wanted):
        run.optimizer.clear()
        run.model(tokens, wanted, run.dials.values)[0].backward()
        return {path: param.grad.double().clone() for path, param in params.items()}

    own, drawn = gradients(targets), gradients(companion.drawn(tokens))
    run.optimizer.clear()
    trainer.train_step(0)
    for stack in run.optimizer.stacks:
        for row, path in enumerate(stack.paths):
            for name, wanted in (("m", 0.1 * own[path]), ("h", 0.25 * tokens.numel() * drawn[path].square())):
                limit = 1e-5 * float(wanted.abs().max())
                torch.testing.assert_close(stack.state[name][row].double(), wanted, rtol=1e-4, atol=limit)
    assert companion.metrics()["sophia.unclipped"] <= 1
    assert [companion.wants_pass(Clock(step, 40)) for step in (0, 9, 10, 20)] == [True, False, True, True]


def test_the_estimate_is_the_diagonal_of_the_gauss_newton_matrix(build, batch):
    """Of the head, for which it is known: the mean over tokens of p_v (1 - p_v) h_d^2."""
    run = build(sophia={}, shape={"depth": 1})
    (companion,), head = run.companions, run.assembly.params["head.out.weight"]
    tokens, _ = batch(rows=2)
    with torch.no_grad():
        head.mul_(20)  # predictions that are not all alike
    hidden = []
    run.model.head.register_forward_pre_hook(lambda module, given: hidden.append(given[0].detach().double()))
    p = run.model.logits(tokens, {}).detach().double().softmax(-1)
    wanted = torch.einsum("btv,btd->vd", p * (1 - p), hidden[0].square()) / tokens.numel()
    sums, draws = torch.zeros_like(wanted), 600
    for step in range(draws):
        companion.before_pass(Clock(step, draws))
        onehot = torch.nn.functional.one_hot(companion.drawn(tokens), p.shape[-1])
        gradient = torch.einsum("btv,btd->vd", p - onehot, hidden[0]) / tokens.numel()
        sums += gradient.square() * tokens.numel()
    # One estimate of one number is off by about its own size, as chi-square of one degree; rows share their draws.
    by_row = (sums / draws).sum(1) / wanted.sum(1)
    assert abs(float((sums / draws).sum() / wanted.sum()) - 1) < 0.03
    assert float((by_row - 1).abs().max()) < 0.6


def test_draws_do_not_depend_on_the_rows_beside(build, batch):
    run = build(sophia={})
    (companion,) = run.companions
    tokens, _ = batch()
    companion.before_pass(Clock(3, 40))
    whole = companion.drawn(tokens)
    assert torch.equal(companion.drawn(tokens[2:3]), whole[2:3])
    companion.before_pass(Clock(13, 40))
    assert not torch.equal(companion.drawn(tokens), whole)
    assert run.model.training


@pytest.mark.parametrize("every", [1, 4])
def test_the_second_pass_is_counted(build, catalogue, every):
    config = build(sophia={"every": every}).config
    bare = config.model_copy(update={"plugins": {}})
    cost, plain = (count(each, catalogue.instances(each.plugins)) for each in (config, bare))
    more = cost.flops_per_token / plain.flops_per_token - 1
    passes = sum(step % every == 0 for step in range(plain.steps)) / plain.steps
    assert more == pytest.approx(passes * 4 / 3, rel=0.02)  # forward and backward, and a forward pass to draw from
