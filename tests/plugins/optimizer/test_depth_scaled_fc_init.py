import pytest
import torch

from coregpt.contract.errors import PluginError


@pytest.mark.parametrize("others", [{}, {"swiglu": {}}, {"uniform_init": {}}])
def test_maps_into_the_mlp_start_smaller_by_their_depth(build, others):
    run, plain = build(depth_scaled_fc_init={}, **others), build(**others)
    for path, value in run.assembly.params.items():
        *_, kind, name, _ = ("", *path.split("."))
        factor = 1.0
        if kind == "mlp" and name in ("up", "gate"):
            factor = 1 - 0.3 * run.assembly.infos[path].layer / 3
        torch.testing.assert_close(value, factor * plain.assembly.params[path], rtol=1e-6, atol=0)


def test_one_layer_has_no_depth_and_ngpt_takes_it_away(build):
    one, plain = (build(shape={"depth": 1}, **plugins) for plugins in ({"depth_scaled_fc_init": {}}, {}))
    assert all(torch.equal(value, plain.assembly.params[path]) for path, value in one.assembly.params.items())
    with pytest.raises(PluginError, match="'depth_scaled_fc_init' and 'ngpt'"):
        build(depth_scaled_fc_init={}, ngpt={})
