import torch


def test_large_scores_differ_no_more_than_the_cap_allows(build):
    (rule,) = build(draft={"cap": 1.0}).model.blocks[0].attention.inner.attend.scores
    score = torch.tensor([-100.0, 0.0, 100.0])
    torch.testing.assert_close(rule(score, None, None, None, None, None), torch.tensor([-1.0, 0.0, 1.0]))
