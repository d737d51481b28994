import torch


def test_the_first_tokens_and_the_last_ones_are_seen(build):
    run = build(draft={"first": 1, "window": 2})
    ((rule,),) = run.assembly.masks
    index = torch.arange(5)
    seen = rule(torch.tensor(0), torch.tensor(0), index[:, None], index, None) & (index <= index[:, None])
    assert seen.int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 0, 1, 1, 0],
        [1, 0, 0, 1, 1],
    ]
