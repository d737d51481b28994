import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


def slow_loop(loops, inject):
    class SlowLoop(SlowGPT):
        def row(self, tokens):
            h = first = self.embed(tokens)
            for turn in range(loops):
                h = h + first if turn and inject else h
                for layer in range(self.shape.depth // loops):
                    h = self.connect(h, self.attention(self.norm(h), tokens, layer), layer, "attention")
                    h = self.connect(h, self.mlp(self.norm(h), layer), layer, "mlp")
            return self.norm(h) @ self.p["head.out.weight"].T

    return SlowLoop


@pytest.mark.parametrize(("depth", "loops", "inject"), [(4, 2, False), (4, 4, True), (3, 3, False), (2, 1, True)])
def test_the_whole_model_equals_the_definition(build, depth, loops, inject):
    run = build(looped={"loops": loops, "inject": inject}, shape={"depth": depth})
    assert {path.split(".")[1] for path in run.assembly.params if path.startswith("blocks")} == {
        str(layer) for layer in range(depth // loops)
    }
    assert_equals_slow_model(run, slow_loop(loops, inject))


def test_blocks_that_exist_start_as_in_the_plain_model(build):
    run, plain = build(looped={}), build()
    assert all(torch.equal(value, plain.assembly.params[path]) for path, value in run.assembly.params.items())


def test_loops_must_divide_the_depth(build):
    with pytest.raises(PluginError, match=r"model.depth \(4\) is not a multiple of loops \(3\)"):
        build(looped={"loops": 3})
