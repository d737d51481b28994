import torch

from tests.plugins.optimizer.slow import directions, random, rule_of


def test_a_pair_of_steps_is_one_step_of_adam_along_the_sum(build):
    gradients = [random(1, 3, 4, seed=seed) for seed in range(6)]
    got, state = directions(rule_of(build, (3, 4), role="embedding", adam_every_other_step={}), gradients)
    m = v = torch.zeros(1, 3, 4, dtype=torch.float64)
    for pair in range(3):
        g = gradients[2 * pair] + gradients[2 * pair + 1]
        m, v = 0.9 * m + 0.1 * g, 0.95 * v + 0.05 * g**2
        t = pair + 1
        wanted = (m / (1 - 0.9**t)) / ((v / (1 - 0.95**t)).sqrt() + 1e-8)
        assert not got[2 * pair].any()
        torch.testing.assert_close(got[2 * pair + 1], wanted, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(state["m"], m)


def test_matrices_step_every_time_and_the_rest_every_other(build, batch):
    run = build(muon={"weight_decay": 0.1}, adam_every_other_step={})
    for step in range(4):
        before = {path: p.detach().clone() for path, p in run.assembly.params.items()}
        tokens, targets = batch(seed=step)
        run.model(tokens, targets, run.dials.values)[0].backward()
        run.optimizer.step(1.0, run.dials.values)
        for path, p in run.assembly.params.items():
            moved = not torch.equal(p.detach(), before[path])
            assert moved == (run.assembly.infos[path].role == "matrix" or step % 2 == 1), path


def test_decay_falls_in_the_second_step_alone(build):
    run = build(adam_every_other_step={}, config={"optim": {"lr": 0.1, "weight_decay": 0.5}})
    path = "embedding.weight"
    start = run.assembly.params[path].detach().clone()
    for _ in range(4):
        run.optimizer.step(1.0, run.dials.values)
    torch.testing.assert_close(run.assembly.params[path].detach(), start * (1 - 0.05) ** 2)
