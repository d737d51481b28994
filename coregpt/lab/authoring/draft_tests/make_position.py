import math
from types import SimpleNamespace

import torch


def test_the_first_query_stays_and_later_ones_grow(build):
    run = build(draft={"strength": 0.5})
    position = run.model.blocks[0].attention.inner.position
    q = torch.randn(2, 9, run.config.model.heads, run.config.model.head_dim)
    position.inner.forward = lambda q, k, ctx: (q, k)
    found, k = position(q, q, SimpleNamespace(positions=None))
    assert torch.equal(k, q)
    assert torch.equal(found[:, 0], q[:, 0])
    torch.testing.assert_close(found[:, 8], q[:, 8] * (1 + 0.5 * math.log(9)))
