"""What grows with width, against numbers taken by hand; muP against the plain parametrisation as the proof."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from coregpt.cli import main
from coregpt.contract.errors import ConfigError
from coregpt.lab.laws import widths
from coregpt.lab.laws.law_case import LawCase
from coregpt.lab.laws.tools import tiny_source
from coregpt.lab.laws.widths import Sweep, coordinates, refuse_widths, sizes_of, slope, sweep
from coregpt.lab.study.registry import Catalogue

SMALL = (32, 64, 128)


@pytest.fixture(scope="module")
def case():
    return LawCase(Catalogue(), "mup")


@pytest.mark.parametrize("power", [-0.5, 0.0, 0.5, 1.0])
def test_the_slope_is_the_power_of_the_width(power):
    sizes = [3 * width**power for width in (32, 64, 96, 512)]
    assert slope((32, 64, 96, 512), sizes) == pytest.approx(power)
    noisy = [size * factor for size, factor in zip(sizes, (1.1, 0.9, 1.2, 1.0), strict=True)]
    wanted = np.polyfit(np.log([32, 64, 96, 512]), np.log(noisy), 1)[0]
    assert slope((32, 64, 96, 512), noisy) == pytest.approx(wanted)


def test_sizes_are_means_over_layers_of_what_parts_give():
    layers = nn.ModuleList([nn.Linear(4, 3), nn.Linear(3, 3)])
    model = nn.Module()
    model.layers, model.end = layers, nn.ReLU()
    x = torch.randn(5, 4)
    first = x @ layers[0].weight.T + layers[0].bias
    second = first @ layers[1].weight.T + layers[1].bias
    found = sizes_of(model, lambda: model.end(layers[1](layers[0](x))))
    assert found["layers.*"] == pytest.approx((first.abs().mean() + second.abs().mean()).item() / 2)
    assert found["end"] == pytest.approx(second.clamp(min=0).mean().item())
    assert not layers[0]._forward_hooks


def test_plain_activations_grow_with_width_and_those_of_mup_do_not(case):
    plain = coordinates(case, {}, SMALL, 0.002, 10).slopes()
    mup = coordinates(case, {"mup": {"base": 32}}, SMALL, 0.002, 10).slopes()
    for place in ("blocks.*.mlp.inner.up", "blocks.*.mlp.inner.down", "blocks.*.attention.inner.q", "stack"):
        assert plain[place] > 0.35, place
        assert abs(mup[place]) < 0.15, place
    assert max(mup.values()) < widths.GROWS
    assert plain["head.out"] > 0.35
    assert plain["final_norm"] == pytest.approx(0, abs=0.05)  # a norm holds them whatever is before it


def test_one_rate_holds_for_all_widths_with_mup_and_not_without(case):
    """Losses after 40 steps on the same rows; the optimum of the plain model falls as it grows wider."""
    rates = [2.0**octave for octave in range(-11, -3)]
    found = {
        name: sweep(case, plugins, tiny_source(), (32, 128), rates, 40)
        for name, plugins in (("plain", {}), ("mup", {"mup": {"base": 32}}))
    }
    assert abs(found["mup"].moved()) <= 1
    assert found["plain"].moved() < found["mup"].moved()


def test_a_score_is_the_mean_of_the_last_steps_and_nothing_learned_where_it_diverged(case):
    source = tiny_source()
    run = widths._run(case, {}, source, 32, 0.004, 20)
    losses = list(widths._losses(run, source, 20))
    found = sweep(case, {}, source, (32, 64), [0.004, 1e4], 20)
    assert found.losses[32][0] == pytest.approx(sum(losses[-2:]) / 2)
    assert losses[0] == pytest.approx(math.log(61), abs=0.05)
    assert found.losses[32][1] == found.nothing == math.log(61)
    assert found.best() == {32: 0.004, 64: 0.004}


def test_of_equal_losses_the_smallest_rate_is_best():
    found = Sweep((1.0, 2.0, 4.0), {32: (2.0, 1.0, 1.0), 64: (3.0, 2.0, 1.0)}, 5.0)
    assert found.best() == {32: 2.0, 64: 4.0}
    assert found.moved() == 1


@pytest.mark.parametrize("given", [(32,), (64, 32), (32, 40), (8, 16)])
def test_widths_that_make_no_comparison_are_refused(given):
    with pytest.raises(ConfigError, match="rising multiples of 16"):
        refuse_widths(given)


def test_the_command_prints_both_models_and_writes_the_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("coregpt.cli.tools.widths.pydocs", tiny_source)
    out = tmp_path / "w.html"
    words = ["plugins", "widths", "relu2", "--with", "qk_norm", "--widths", "16", "32", "--steps", "2"]
    assert main([*words, "--sweep", "4", "--rates", "-8", "-7", "--html", str(out)]) == 0
    said = capsys.readouterr().out
    for part in ("relu2+qk_norm", "plain", "power", "2^-8", "the best rate moves by"):
        assert part in said
    page = out.read_text()
    assert page.count("<svg") == 4
    assert "shows the direction and no size of an effect" in page


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["mup", "--widths", "32"], "--widths: expected two or more"),
        (["mup", "--rates", "-4", "-12", "--sweep", "3"], "--rates: expected"),
        (["mop"], "did you mean 'mup'"),
        (["mup", "--options", "base=x"], "mup"),
    ],
)
def test_mistakes_are_told(words, told, tmp_path, capsys):
    assert main(["plugins", "widths", *words, "--html", str(tmp_path / "w.html")]) == 2
    assert told in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
