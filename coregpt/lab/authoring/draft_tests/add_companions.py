import torch


def test_weights_go_half_of_the_way_back(build):
    run = build(draft={"steps": 2, "share": 0.5})
    (companion,) = run.companions
    weight = run.assembly.params["blocks.0.mlp.up.weight"]
    before = weight.detach().clone()
    with torch.no_grad():
        for step in range(2):
            weight.add_(1)
            companion.after_update(run.timeline.clock(step))
    torch.testing.assert_close(weight.detach(), before + 1)
