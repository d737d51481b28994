import pytest
import torch

from coregpt.contract.errors import PluginError
from tests.plugins.slow import SlowGPT, assert_equals_slow_model


def slow_with(times: int) -> type[SlowGPT]:
    class SlowShared(SlowGPT):
        def row(self, tokens):
            h = self.embed(tokens)
            for passed in range(self.shape.depth):
                h = h + self.attention(self.norm(h), tokens, passed // times)
                h = h + self.mlp(self.norm(h), passed // times)
            return self.norm(h) @ self.p["head.out.weight"].T

    return SlowShared


@pytest.mark.parametrize(("depth", "times"), [(4, 2), (3, 3), (2, 1)])
def test_the_whole_model_equals_the_definition(build, depth, times):
    run = build(layer_sharing={"times": times}, shape={"depth": depth})
    assert_equals_slow_model(run, slow_with(times))


def test_blocks_that_exist_start_as_in_the_plain_model(build):
    run, plain = build(layer_sharing={}), build()
    assert {path.split(".")[1] for path in run.assembly.params if path.startswith("blocks")} == {"0", "1"}
    assert all(torch.equal(value, plain.assembly.params[path]) for path, value in run.assembly.params.items())


def test_what_does_not_fit_is_refused(build):
    with pytest.raises(PluginError, match=r"model.depth \(4\) is not a multiple of times \(3\)"):
        build(layer_sharing={"times": 3})
    with pytest.raises(PluginError, match=r"'layer_sharing' and 'looped'|'looped' and 'layer_sharing'"):
        build(layer_sharing={}, looped={})
