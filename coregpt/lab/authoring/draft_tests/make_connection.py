import torch


def test_a_branch_is_added_by_its_weight(build):
    run = build(draft={"start": 0.5})
    x, y = torch.randn(2, 3, 5, run.config.model.dim)
    connection = run.model.blocks[0].mlp.connection
    assert torch.equal(connection.read(x, None), x)
    torch.testing.assert_close(connection.write(x, y, None), x + y / 2)


def test_every_branch_has_a_weight_of_its_own(build):
    params = build(draft={}).assembly.params
    assert {"blocks.0.attention.connection.weight", "blocks.3.mlp.connection.weight"} <= set(params)
