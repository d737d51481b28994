import torch


def test_it_is_the_squared_logarithm_of_the_sum(build, batch):
    run, (tokens, targets) = build(draft={"weight": 0.5}), batch()
    loss, scalars = run.model(tokens, targets, run.dials.values)
    logits = run.model.logits(tokens, run.dials.values).double()
    expected = 0.5 * logits.exp().sum(-1).log().square().mean()
    torch.testing.assert_close(scalars["draft"].double(), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(loss - build().model(tokens, targets, {})[0], scalars["draft"])
