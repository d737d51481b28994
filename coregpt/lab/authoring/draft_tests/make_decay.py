import torch


def test_only_weights_that_shrink_anyway_decay(build):
    decay = build(draft={}).optimizer.stacks[0].decay
    p, update = torch.tensor([[2.0, 2.0, -2.0, -2.0]]), torch.tensor([[1.0, -1.0, 1.0, -1.0]])
    found = decay.amount(p, update, torch.tensor([[0.1]]), torch.tensor([[0.5]]), {})
    torch.testing.assert_close(found, torch.tensor([[0.1, 0.0, 0.0, -0.1]]))
