import torch


def test_the_bias_is_what_is_left_of_the_logits_at_zero(build):
    run = build(draft={"start": 0.25})
    x = torch.zeros(2, 5, run.config.model.dim)
    assert torch.equal(run.model.head(x), torch.full((2, 5, run.config.model.vocab), 0.25))
