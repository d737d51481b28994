import torch


def test_it_is_the_cross_entropy_with_a_smoothed_label(build, batch):
    run, (_, targets) = build(draft={"share": 0.2}), batch()
    logits = torch.randn(*targets.shape, run.config.model.vocab)
    label = torch.nn.functional.one_hot(targets, run.config.model.vocab) * 0.8 + 0.2 / run.config.model.vocab
    expected = -(label * logits.log_softmax(-1)).sum(-1).mean()
    torch.testing.assert_close(run.model.loss(logits, targets, None), expected)
