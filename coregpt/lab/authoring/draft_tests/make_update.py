import torch


def test_every_step_of_a_matrix_has_size_one(build):
    stacks = [stack for stack in build(draft={"momentum": 0.5}).optimizer.stacks if stack.group.role == "matrix"]
    p, g = torch.zeros(3, 4, 5), torch.randn(3, 4, 5)
    state = stacks[0].rule.init(p)
    first = stacks[0].rule.direction(p, g, state, {"step": 1})
    torch.testing.assert_close(first.square().mean((1, 2)), torch.ones(3))
    torch.testing.assert_close(state["m"], g / 2)


def test_other_roles_keep_the_default_rule(build):
    rules = {stack.group.role: type(stack.rule).__name__ for stack in build(draft={}).optimizer.stacks}
    assert rules["embedding"] != rules["matrix"]
