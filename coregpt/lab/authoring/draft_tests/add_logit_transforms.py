import torch


def test_logits_are_a_multiple_of_the_plain_models(build, batch):
    tokens, _ = batch()
    plain, scaled = build(), build(draft={"start": 0.5})
    expected = plain.model.logits(tokens, plain.dials.values) / 2
    torch.testing.assert_close(scaled.model.logits(tokens, scaled.dials.values), expected)
